// Charts as SVG, drawn anew whenever there is something to show. Data becomes text and coordinates, never markup.

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = { top: 8, right: 10, bottom: 22, left: 44 };
const DEPTH_STOPS = [[28, 72, 148], [36, 138, 160], [104, 190, 140], [238, 196, 92], [224, 122, 72]];

export function shape(name, attributes = {}, text = "") {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text) element.textContent = text;
  return element;
}

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export function depthColour(depth, count) {
  const place = count > 1 ? (depth / (count - 1)) * (DEPTH_STOPS.length - 1) : 0;
  const low = Math.min(Math.floor(place), DEPTH_STOPS.length - 2), share = place - low;
  const mixed = DEPTH_STOPS[low].map((from, i) => Math.round(from + (DEPTH_STOPS[low + 1][i] - from) * share));
  return `rgb(${mixed.join(",")})`;
}

export function short(number) {
  const size = Math.abs(number);
  if (size >= 1e6) return `${+(number / 1e6).toFixed(2)}M`;
  if (size >= 1e4) return `${+(number / 1e3).toFixed(1)}k`;
  return Math.round(number).toLocaleString("en");
}

function niceTicks(low, high, count) {
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map(each => each * power).find(each => each >= raw * 0.999);
  const ticks = [];
  for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + step * 1e-6; at += step) ticks.push(+at.toPrecision(12));
  return ticks;
}

function path(points) {
  return points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
}

export function spark(svg, values) {
  const width = 100, height = 36, top = Math.max(...values, 1e-9);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("preserveAspectRatio", "none");
  const step = width / Math.max(values.length - 1, 1);
  svg.replaceChildren(...(values.length > 1
    ? [shape("path", { d: path(values.map((value, i) => [i * step, height - 2 - (value / top) * (height - 4)])), "vector-effect": "non-scaling-stroke" })]
    : []));
}

class Plot {
  constructor(figure, title, hint) {
    const id = `${figure.id}-title`;
    this.figure = figure;
    this.title = title;
    this.legend = element("ul", { class: "legend" });
    this.svg = shape("svg", { class: "plot", role: "img", tabindex: "0", "aria-labelledby": `${figure.id}-says` });
    this.says = element("p", { class: "unseen", id: `${figure.id}-says` });
    const head = element("figcaption", { class: "chart-head" }, element("h3", { id }, title), element("span", { class: "hint" }, hint));
    figure.replaceChildren(head, this.legend, this.svg, this.says);
    this.at = null; // index of the point that is looked at; null: the newest
    this.points = [];
    this.marks = [];
    new ResizeObserver(() => this.draw()).observe(this.svg);
    this.svg.addEventListener("pointermove", event => this.look(event.clientX));
    this.svg.addEventListener("pointerleave", () => this.lookAt(null));
    this.svg.addEventListener("blur", () => this.lookAt(null));
    this.svg.addEventListener("keydown", event => this.step(event));
  }

  show(points, marks) {
    if (this.at !== null) return; // held while somebody looks at a point
    this.points = points;
    this.marks = marks;
    this.draw();
  }

  look(clientX) {
    const box = this.svg.getBoundingClientRect(), x = clientX - box.left;
    let best = null;
    this.points.forEach((point, i) => {
      const away = Math.abs(this.x(point) - x);
      if (best === null || away < best[0]) best = [away, i];
    });
    this.lookAt(best ? best[1] : null);
  }

  step(event) {
    const way = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (event.key === "Escape") this.lookAt(null);
    if (way === undefined || !this.points.length) return;
    event.preventDefault();
    const last = this.points.length - 1;
    this.lookAt(Math.min(Math.max((this.at ?? last) + way, 0), last));
  }

  lookAt(index) {
    this.at = index;
    this.draw();
  }

  begin() {
    const box = this.svg.getBoundingClientRect();
    this.width = Math.max(box.width, 60);
    this.height = Math.max(box.height, 60);
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
    const versions = this.points.map(point => point.version);
    this.low = versions[0] ?? 0;
    this.high = versions[versions.length - 1] ?? 0;
    return this.points.length > 1 && this.high > this.low;
  }

  x(point) {
    const share = (point.version - this.low) / (this.high - this.low || 1);
    return MARGIN.left + share * (this.width - MARGIN.left - MARGIN.right);
  }

  y(value) {
    const share = (value - this.bottom) / (this.top - this.bottom || 1);
    return this.height - MARGIN.bottom - share * (this.height - MARGIN.top - MARGIN.bottom);
  }

  axes(format) {
    const parts = [];
    for (const value of niceTicks(this.bottom, this.top, 4)) {
      const y = this.y(value);
      parts.push(shape("line", { class: "grid", x1: MARGIN.left, x2: this.width - MARGIN.right, y1: y, y2: y }));
      parts.push(shape("text", { x: MARGIN.left - 8, y: y + 4, "text-anchor": "end" }, format(value)));
    }
    const wanted = Math.max(2, Math.floor(this.width / 110));
    for (const version of niceTicks(this.low, this.high, wanted).filter(Number.isInteger)) {
      const x = this.x({ version });
      const anchor = x > this.width - 40 ? "end" : "middle";
      parts.push(shape("text", { x: anchor === "end" ? this.width - MARGIN.right : x, y: this.height - 6, "text-anchor": anchor }, short(version)));
    }
    return parts;
  }

  overlay() {
    const parts = [], top = MARGIN.top, bottom = this.height - MARGIN.bottom;
    let labelled = -Infinity; // where the last text stands: the next one must not cover it
    for (const mark of [...this.marks].sort((a, b) => a.version - b.version)) {
      if (mark.version < this.low || mark.version > this.high) continue;
      const x = this.x(mark), right = x > this.width * 0.7;
      parts.push(shape("line", { class: "mark", x1: x, x2: x, y1: top, y2: bottom }));
      if (x - labelled < 130) continue;
      labelled = x;
      parts.push(shape("text", { class: "marked", x: right ? x - 5 : x + 5, y: top + 11, "text-anchor": right ? "end" : "start" }, mark.what));
    }
    if (this.at !== null && this.points[this.at]) {
      const x = this.x(this.points[this.at]);
      parts.push(shape("line", { class: "cross", x1: x, x2: x, y1: top, y2: bottom }));
    }
    return parts;
  }

  empty() {
    this.svg.replaceChildren(shape("text", { class: "empty", x: this.width / 2, y: this.height / 2, "text-anchor": "middle" }, "Waiting for events"));
    this.says.textContent = `${this.title}: no history yet`;
  }

  get shown() {
    return this.points[this.at ?? this.points.length - 1];
  }
}

// Lines: [{key, label, kind}], kind one of main, second, base.
export class LineChart extends Plot {
  constructor(figure, title, hint, lines, format) {
    super(figure, title, hint);
    this.lines = lines;
    this.format = format;
  }

  draw() {
    const drawable = this.begin();
    this.drawLegend();
    // The first few events jump about: they must not flatten all that follows.
    const settled = this.points.filter(point => point.version > (this.high - this.low) * 0.02 + Math.min(this.low, 50));
    const values = this.lines.flatMap(line => settled.map(point => point[line.key])).filter(Number.isFinite);
    if (!drawable || !values.length) return this.empty();
    const low = Math.min(...values), high = Math.max(...values);
    const pad = Math.max((high - low) * 0.08, 1e-4);
    [this.bottom, this.top] = [Math.max(low - pad, 0), high + pad];
    const clip = `${this.figure.id}-clip`, clipped = shape("clipPath", { id: clip });
    clipped.append(shape("rect", { x: MARGIN.left, y: MARGIN.top - 3, width: this.width - MARGIN.left - MARGIN.right + 3, height: this.height - MARGIN.top - MARGIN.bottom + 6 }));
    const inside = shape("g", { "clip-path": `url(#${clip})` });
    for (const line of [...this.lines].reverse()) {
      const known = this.points.filter(point => Number.isFinite(point[line.key]));
      inside.append(shape("path", { class: `line ${line.kind}`, d: path(known.map(point => [this.x(point), this.y(point[line.key])])) }));
    }
    this.svg.replaceChildren(clipped, ...this.axes(this.format), inside, ...this.overlay());
    const newest = this.shown;
    const parts = this.lines.filter(line => Number.isFinite(newest[line.key])).map(line => `${line.label} ${this.format(newest[line.key], true)}`);
    this.says.textContent = `${this.title} at version ${newest.version}: ${parts.join(", ")}`;
  }

  drawLegend() {
    this.legend.replaceChildren(...this.lines.map(line => {
      const swatch = shape("svg", { viewBox: "0 0 18 10", "aria-hidden": "true" });
      swatch.append(shape("path", { class: `line ${line.kind}`, d: "M1 5H17" }));
      const value = this.shown?.[line.key];
      return element("li", {}, swatch, line.label, element("b", {}, Number.isFinite(value) ? this.format(value, true) : "–"));
    }), ...(this.at === null ? [] : [element("li", { class: "hint" }, `version ${this.shown.version.toLocaleString("en")}`)]));
  }
}

// The weights of the depths, one upon the other; they sum to 1.
export class DepthChart extends Plot {
  draw() {
    const drawable = this.begin();
    this.drawLegend();
    const known = this.points.filter(point => point.weights?.length);
    if (!drawable || known.length < 2) return this.empty();
    [this.bottom, this.top] = [0, 1];
    const depths = known[known.length - 1].weights.length, same = known.filter(point => point.weights.length === depths);
    let floor = same.map(() => 0);
    const areas = [];
    for (let depth = 0; depth < depths; depth += 1) {
      const roof = floor.map((from, i) => from + same[i].weights[depth]);
      const up = same.map((point, i) => [this.x(point), this.y(Math.min(roof[i], 1))]);
      const down = same.map((point, i) => [this.x(point), this.y(Math.min(floor[i], 1))]).reverse();
      areas.push(shape("path", { class: "area", fill: depthColour(depth, depths), d: `${path([...up, ...down])}Z` }));
      floor = roof;
    }
    const percent = value => `${Math.round(value * 100)} %`;
    this.svg.replaceChildren(...this.axes(percent), ...areas, ...this.overlay());
    this.says.textContent = `${this.title} at version ${this.shown.version}: ${this.ranked().map(([depth, weight]) => `depth ${depth} ${percent(weight)}`).join(", ")}`;
  }

  ranked() {
    return (this.shown?.weights ?? []).map((weight, depth) => [depth, weight]).sort((a, b) => b[1] - a[1]);
  }

  drawLegend() {
    const ranked = this.ranked(), count = ranked.length, most = ranked.slice(0, 8).sort((a, b) => a[0] - b[0]);
    const rest = ranked.slice(8).reduce((sum, [, weight]) => sum + weight, 0);
    const items = most.map(([depth, weight]) => {
      const swatch = shape("svg", { viewBox: "0 0 18 10", "aria-hidden": "true" });
      swatch.append(shape("rect", { x: 3, width: 12, height: 10, rx: 3, fill: depthColour(depth, count) }));
      return element("li", {}, swatch, `depth ${depth}`, element("b", {}, `${(weight * 100).toFixed(1)} %`));
    });
    if (rest > 0) items.push(element("li", { class: "hint" }, `the other ${count - 8}: ${(rest * 100).toFixed(1)} %`));
    if (this.at !== null) items.push(element("li", { class: "hint" }, `version ${this.shown.version.toLocaleString("en")}`));
    this.legend.replaceChildren(...items);
  }
}
