// The form: asks for a prediction by the same route as every client, and tells what it really was.

import { element } from "./page_charts.js";

const KNOWN_MAX = 50; // values of a category that are offered
const BUTTONS_MAX = 12; // classes beyond that are typed
const CLIENT = "page"; // its feedback is of the source rest:page, so that it can be found, and left out
const find = id => document.getElementById(id);

function number(text) {
  return text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : null;
}

export class Form {
  constructor() {
    this.kinds = new Map(); // feature -> number, category, or any
    this.inputs = new Map(); // feature -> input
    this.known = new Map(); // feature -> values seen
    this.asked = null; // what the answer that is shown was asked with
    this.touched = false;
    find("ask").addEventListener("submit", event => { event.preventDefault(); this.predict(); });
    find("tell").addEventListener("submit", event => { event.preventDefault(); this.typed(); });
    find("ask").addEventListener("input", () => { this.touched = true; });
    find("clear").addEventListener("click", () => this.clear());
    find("add").addEventListener("click", () => this.add());
    find("new-name").addEventListener("keydown", event => { if (event.key === "Enter") { event.preventDefault(); this.add(); } });
  }

  begin(model) {
    this.model = model;
    this.isDeclared = Object.keys(model.fields).length > 0;
    for (const [name, kind] of Object.entries(model.fields)) this.field(name, kind);
    find("adder").hidden = this.isDeclared;
    find("token-field").hidden = !model.tokens;
  }

  field(name, kind) {
    if (this.inputs.has(name)) return;
    const id = `field-${this.inputs.size}`, list = `${id}-values`;
    const input = element("input", { id, type: kind === "number" ? "number" : "text", placeholder: "missing", maxlength: "1000" });
    if (kind === "number") input.step = "any"; else input.setAttribute("list", list);
    const label = element("label", { for: id }, name);
    label.title = name;
    find("fields").append(element("div", { class: "field" }, label, input, element("datalist", { id: list })));
    this.kinds.set(name, kind);
    this.inputs.set(name, input);
    this.known.set(name, new Set());
  }

  add() {
    const input = find("new-name"), name = input.value;
    if (!name) return;
    this.field(name, "any");
    input.value = "";
    this.inputs.get(name).focus();
  }

  // Features and values of events that came in: what there is to choose from.
  learnFrom(events) {
    for (const event of events) {
      for (const [name, value] of Object.entries(event.x)) {
        if (!this.isDeclared) this.field(name, typeof value === "number" ? "number" : typeof value === "string" ? "category" : "any");
        const known = this.known.get(name);
        if (!known || typeof value !== "string" || known.has(value) || known.size >= KNOWN_MAX) continue;
        known.add(value);
        this.inputs.get(name).parentElement.querySelector("datalist").append(element("option", { value }));
      }
    }
    if (!this.touched && events.length && !this.filled) this.fill(events[0]);
  }

  fill(event) {
    this.filled = true;
    for (const [name, input] of this.inputs) {
      const value = event.x[name];
      input.value = value === null || value === undefined ? "" : String(value);
    }
    find("origin").textContent = `as in version ${event.version.toLocaleString("en")}`;
  }

  clear() {
    for (const input of this.inputs.values()) input.value = "";
    this.touched = true;
    find("origin").textContent = "";
    find("answer").replaceChildren();
    find("tell").hidden = true;
  }

  features() {
    const x = {};
    for (const [name, input] of this.inputs) {
      const kind = this.kinds.get(name), text = input.value;
      if (text === "") continue; // missing
      if (kind === "category") x[name] = text;
      else if (number(text) !== null) x[name] = number(text);
      else if (kind === "any" && (text === "true" || text === "false")) x[name] = text === "true";
      else x[name] = text;
    }
    return x;
  }

  async send(path, message) {
    const headers = { "content-type": "application/json", "x-client-id": CLIENT }, token = find("token").value;
    if (token) headers.authorization = `Bearer ${token}`;
    const response = await fetch(path, { method: "POST", headers, body: JSON.stringify(message) });
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.status?.info ?? `status ${response.status}`);
    return answer;
  }

  async predict() {
    const x = this.features(), button = find("predict");
    button.disabled = true;
    find("receipt").textContent = "";
    try {
      const answer = await this.send("api/v1.0/predictions", { jsonData: x });
      this.asked = { x, puid: answer.meta.puid, version: answer.meta.tags.version };
      this.showAnswer(answer);
    } catch (error) {
      this.asked = null;
      find("tell").hidden = true;
      find("answer").replaceChildren(element("p", { class: "failed" }, error.message));
    } finally {
      button.disabled = false;
    }
  }

  showAnswer(answer) {
    const said = answer.jsonData, tags = answer.meta.tags;
    const isNumber = this.model.task === "regression";
    const shown = isNumber ? element("p", { class: "number" }, String(+Object.values(said)[0].toPrecision(6))) : this.bars(said);
    const about = `by version ${tags.version.toLocaleString("en")}${tags.stale ? ", which may be stale" : ""}, id ${answer.meta.puid}`;
    find("answer").replaceChildren(shown, element("p", { class: "hint said" }, about));
    find("tell").hidden = !this.model.learns;
    this.offer(isNumber ? null : Object.keys(said));
  }

  bars(said) {
    const best = Math.max(...Object.values(said));
    return element("ul", { class: "bars" }, ...Object.entries(said).map(([name, share]) => {
      const fill = element("i");
      fill.style.width = `${(share * 100).toFixed(1)}%`;
      const names = element("div", { class: share === best ? "names best" : "names" }, element("span", {}, name), element("span", {}, `${(share * 100).toFixed(1)} %`));
      return element("li", {}, names, element("div", { class: "track", "aria-hidden": "true" }, fill));
    }));
  }

  offer(classes) {
    if (classes && classes.length && classes.length <= BUTTONS_MAX) {
      find("labels").replaceChildren(...classes.map(name => {
        const button = element("button", { type: "button", class: "quiet" }, name);
        button.addEventListener("click", () => this.tell({ strData: name }));
        return button;
      }));
      return;
    }
    const input = element("input", { id: "truth", type: classes ? "text" : "number", step: "any", required: "", "aria-label": "What it really was" });
    find("labels").replaceChildren(input, element("button", { type: "submit" }, "Send"));
  }

  typed() {
    const text = find("truth").value;
    this.tell(this.model.task === "regression" ? { jsonData: Number(text) } : { strData: text });
  }

  async tell(truth) {
    if (!this.asked) return;
    const receipt = find("receipt"), { x, puid, version } = this.asked;
    const message = { request: { jsonData: x, meta: { puid } }, response: { meta: { puid, tags: { version } } }, truth };
    try {
      const { outcome, version: learned } = (await this.send("api/v1.0/feedback", message)).meta.tags;
      receipt.className = "receipt good";
      receipt.textContent = outcome === "duplicate" ? "This answer has its feedback already."
        : learned ? `Learned as version ${learned.toLocaleString("en")}, on every replica.` : "Accepted; every replica learns it in a moment.";
    } catch (error) {
      receipt.className = "receipt failed";
      receipt.textContent = error.message;
    }
  }
}
