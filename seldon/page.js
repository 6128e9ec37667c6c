// The live page: listens to this replica's events and shows them. Names and labels are data of users: they
// enter the page by textContent alone.

import { DepthChart, LineChart, element, shape, short, spark } from "./page_charts.js";
import { Form } from "./page_form.js";

const POINTS_MAX = 600, SPOKEN_EVERY_MS = 20000, AGAIN_MS = 3000, SPARK_POINTS = 60;
const find = id => document.getElementById(id);
const whole = number => Math.round(number).toLocaleString("en");
const known = Number.isFinite;
const percent = (value, exact) => `${(value * 100).toFixed(exact ? 1 : 0)} %`;
const fixed = (value, exact) => value.toFixed(exact ? 4 : 2);
const measure = (value, exact) => String(+value.toPrecision(exact ? 4 : 3));

const form = new Form();
let points = [], charts = [], model = null, spokenAt = 0, source = null;
const tiles = new Map();

function listen() {
  source?.close();
  source = new EventSource("events");
  source.addEventListener("hello", event => begin(JSON.parse(event.data)));
  source.addEventListener("now", event => show(JSON.parse(event.data)));
  source.addEventListener("away", event => state("bad", JSON.parse(event.data).reason));
  source.addEventListener("error", () => {
    state("bad", "Disconnected, trying again");
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, AGAIN_MS); // refused: nobody else retries
  });
}

function state(kind, text) {
  if (find("state").dataset.state !== kind) find("state").dataset.state = kind;
  if (find("state-text").textContent !== text) find("state-text").textContent = text;
}

function begin(hello) {
  points = hello.points;
  if (model) return; // connected again: everything stands already
  model = hello;
  document.title = `${model.model} · odl`;
  find("model").textContent = model.model;
  form.begin(model);
  if (!model.learns) return frozen();
  const regression = model.task === "regression", recent = "of the last 1,000 events", all = "of all";
  const lines = (key, base) => [
    { key: `${key}_recent`, label: recent, kind: "main" },
    { key, label: all, kind: "second" },
    ...(base ? [{ key: `${key}_base`, label: base, kind: "base" }] : []),
  ];
  charts = regression
    ? [new LineChart(find("first"), "Mean absolute error", "less is better", lines("mae"), measure),
       new LineChart(find("second"), "Root mean squared error", "less is better", lines("rmse"), measure)]
    : [new LineChart(find("first"), "Accuracy", "more is better", lines("accuracy", "always the most frequent class"), percent),
       new LineChart(find("second"), "Log-loss", "less is better", lines("log_loss", "label frequencies alone"), fixed)];
  charts.push(new DepthChart(find("weights"), "Weights of the depths", "which depth of the network the answers come from, learned online"));
  charts.forEach(chart => chart.show(points, []));
}

function frozen() {
  document.querySelectorAll(".learning").forEach(each => { each.hidden = true; });
  document.querySelector(".columns").classList.add("single");
  find("purpose").textContent = "Answers as it did when it was exported, and learns nothing.";
  find("notice").hidden = false;
  find("notice").textContent = "This is a frozen model: there is no history of learning. Send feedback to the service it was exported from.";
}

function show(now) {
  const replica = now.replica, last = points[points.length - 1];
  if (last && now.point.version < last.version) points = []; // history was lost: it begins anew
  if (!last || now.point.time > last.time) points.push(now.point);
  points = points.slice(-POINTS_MAX);
  const behind = Math.max(replica.lag, (now.fleet.version ?? 0) - replica.version, 0);
  if (now.fleet.error) state("bad", "The log is out of reach");
  else if (!replica.ready) state("wait", `Catching up, ${whole(behind)} behind`);
  else state("good", model.learns ? "Live, at the newest version" : "Live");
  charts.forEach(chart => chart.show(points, now.marks));
  showTiles(now, behind);
  form.learnFrom([...now.recent].reverse());
  showEvents(now.recent);
  showReplicas(now);
  showDrifts(now.fleet.drifts ?? []);
  find("identity").textContent = `${replica.replica_id} · epoch ${replica.epoch} · fold ${replica.fold_id}`;
  speak(now);
}

function tile(name, value, unit = "", note = "", tone = "") {
  if (!tiles.has(name)) {
    const parts = { box: element("div"), value: element("dd", { class: "value" }), note: element("dd", { class: "note" }), spark: shape("svg", { class: "spark", "aria-hidden": "true" }) };
    parts.box.append(element("dt", {}, name), parts.value, parts.note, parts.spark);
    find("tiles").append(parts.box);
    tiles.set(name, parts);
  }
  const parts = tiles.get(name);
  parts.value.replaceChildren(String(value), ...(unit ? [element("span", { class: "unit" }, unit)] : []));
  parts.note.textContent = note;
  parts.note.className = `note ${tone}`;
  return parts;
}

function showTiles(now, behind) {
  const { replica, traffic, point, fleet } = now;
  tile("Version", whole(replica.version), "", behind ? `${whole(behind)} behind the log` : model.learns ? "every event so far" : "frozen");
  if (model.learns) {
    showScores(point);
    const lately = points.slice(-SPARK_POINTS);
    spark(tile("Learned per second", short(point.events_per_s), "", `${whole(replica.events)} in all`).spark, lately.map(each => each.events_per_s ?? 0));
    spark(tile("Predictions per second", short(point.predictions_per_s ?? 0), "", `${whole(traffic.predictions)} by this one`).spark, lately.map(each => each.predictions_per_s ?? 0));
  } else {
    tile("Predictions", whole(traffic.predictions), "", "by this process");
  }
  const slow = known(traffic.predict_p99_ms);
  tile("Time to predict", slow ? measure(traffic.predict_p50_ms) : "–", slow ? "ms" : "", slow ? `99 % within ${measure(traffic.predict_p99_ms)} ms` : "nobody asked lately");
  if (model.learns) {
    const letters = fleet.dead_letters ?? 0;
    tile("Dead letters", whole(letters), "", `${whole(fleet.duplicates ?? 0)} duplicates`, letters ? "bad" : "");
  }
}

function showScores(point) {
  if (model.task === "regression") {
    tile("Mean absolute error", known(point.mae_recent) ? measure(point.mae_recent, true) : "–", "", known(point.mae) ? `${measure(point.mae, true)} of all` : "nothing scored yet");
    tile("Root mean squared error", known(point.rmse_recent) ? measure(point.rmse_recent, true) : "–", "", known(point.rmse) ? `${measure(point.rmse, true)} of all` : "nothing scored yet");
    return;
  }
  if (!known(point.accuracy)) {
    tile("Accuracy", "–", "", "nothing scored yet");
    tile("Log-loss", "–", "", "nothing scored yet");
  } else {
    const ahead = (point.accuracy_recent - point.accuracy_base) * 100, gain = (1 - point.log_loss_recent / point.log_loss_base) * 100;
    const words = (value, unit) => Math.abs(value) < 0.05 ? "as good as the baseline" : `${Math.abs(value).toFixed(1)} ${unit} ${value > 0 ? "better" : "worse"} than baseline`;
    tile("Accuracy", (point.accuracy_recent * 100).toFixed(1), "%", words(ahead, "points"), ahead > 0.05 ? "good" : ahead < -0.05 ? "bad" : "");
    tile("Log-loss", point.log_loss_recent.toFixed(4), "", words(gain, "%"), gain > 0.05 ? "good" : gain < -0.05 ? "bad" : "");
  }
  if (model.task === "binary") tile("AUC", known(point.auc_recent) ? point.auc_recent.toFixed(3) : "–", "", known(point.auc) ? `${point.auc.toFixed(3)} of all; 0.5 is chance` : "0.5 is chance");
}

let rows = new Map(); // version -> row that is shown

function showEvents(recent) {
  const area = find("events"), held = area.matches(":hover") || area.contains(document.activeElement) && document.activeElement !== area;
  const note = find("events-note");
  if (!recent.length) {
    if (model.tokens) note.textContent = "Events are not shown where everybody may see this page.";
    return;
  }
  note.textContent = held ? "Held still while you look." : "Each with the prediction made before it was learned.";
  if (held && rows.size) return;
  const kept = new Map();
  for (const event of [...recent].reverse()) kept.set(event.version, rows.get(event.version) ?? row(event));
  rows = kept;
  find("recent").replaceChildren(...kept.values());
}

function row(event) {
  const isClass = typeof event.prediction === "object", label = String(event.label);
  let said = "", right = false;
  if (isClass) {
    const [name, share] = Object.entries(event.prediction).reduce((best, each) => (each[1] > best[1] ? each : best), ["", -1]);
    said = `${name} ${percent(share)}`;
    right = name === label;
  } else {
    said = measure(event.prediction, true);
  }
  const was = element("td", { class: "text" });
  if (isClass) was.append(element("span", { class: right ? "yes" : "no" }, right ? "✓ " : "✗ ", element("span", { class: "unseen" }, right ? "right: " : "wrong: ")));
  was.append(label);
  const use = element("button", { type: "button", class: "quiet small", "aria-label": `Fill the form with the event of version ${event.version}` }, "Use");
  use.addEventListener("click", () => { form.fill(event); find("predict").focus(); });
  const source = element("td", { class: "text extra" }, event.source.startsWith("kafka:") ? `kafka, partition ${event.source.split(":").pop()}` : event.source || "–");
  source.title = `${event.source} · ${event.id}`;
  const about = element("td", { class: "text" }, said);
  about.title = said;
  return element("tr", {}, element("td", { class: "number" }, whole(event.version)), about, was, source, element("td", {}, use));
}

function showReplicas(now) {
  const head = now.fleet.version, digests = new Map();
  for (const each of now.fleet.replicas) {
    if (each.digest) digests.set(each.version, (digests.get(each.version) ?? new Set()).add(each.digest));
  }
  const differ = [...digests.values()].some(found => found.size > 1);
  find("replicas-lead").textContent = now.fleet.error ?? (differ
    ? "Replicas of one version have different digests: one of them is wrong."
    : `Same version, same bits. The log ends at version ${known(head) ? whole(head) : "–"}.`);
  find("replicas-lead").classList.toggle("failed", differ || Boolean(now.fleet.error));
  if (find("replicas").contains(document.activeElement)) return; // whoever is on a link stays there
  find("replicas").replaceChildren(...now.fleet.replicas.map(each => {
    const here = each.id === now.replica.replica_id;
    const name = element("td", { class: here ? "here" : "" }, each.id, ...(here ? [element("span", { class: "badge" }, "this one")] : []));
    const digest = element("td", {}, element("code", {}, each.digest ? each.digest.slice(0, 12) : "learning"));
    digest.title = each.digest;
    const number = value => element("td", { class: "number" }, value);
    return element("tr", {}, name, number(whole(each.version)), number(whole(each.lag)), number(whole(each.epoch)), digest, address(each.url), number(`${Math.round(each.age_s)} s ago`));
  }));
}

function showDrifts(drifts) {
  const latest = drifts.slice(-3).reverse();
  find("drifts").hidden = !latest.length;
  const told = latest.map(each => `${each.field} at version ${whole(each.version)} by ${each.size.toFixed(2)} (${each.detector})`);
  find("drifts").textContent = `Last drifts: ${told.join("; ")}`;
}

function address(url) {
  if (!/^https?:\/\//.test(url)) return element("td", {}, url || "–");
  return element("td", {}, element("a", { href: url, rel: "noreferrer" }, url.replace(/^https?:\/\//, "")));
}

function speak(now) {
  if (Date.now() - spokenAt < SPOKEN_EVERY_MS) return;
  spokenAt = Date.now();
  const { point, replica } = now, words = [`Version ${whole(replica.version)}`];
  if (known(point.accuracy_recent)) words.push(`accuracy ${percent(point.accuracy_recent, true)}`, `log-loss ${fixed(point.log_loss_recent, true)}`);
  if (known(point.mae_recent)) words.push(`mean absolute error ${measure(point.mae_recent, true)}`);
  if (now.fleet.replicas.length) words.push(`${now.fleet.replicas.length} replicas`);
  find("summary").textContent = `${words.join(", ")}.`;
}

// A browser opens six connections to a server: a page that nobody sees must not keep one.
document.addEventListener("visibilitychange", () => (document.hidden ? source.close() : listen()));
window.addEventListener("pagehide", () => source.close());
window.addEventListener("pageshow", event => { if (event.persisted) listen(); });
listen();
