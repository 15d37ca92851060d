// info.js: what /info says of the model: its name, how it runs, what it takes, its samples and its graph.
import { byId, bytes, make, percent, plural, say } from "./say.js";

/** Show it; a click on a sample calls `take(path, name)`. */
export function showInfo(info, take) {
  const { engine, plan, limits } = info;
  document.title = `${info.name}, served by rgp`;
  say("name", info.name);
  const kernels = engine.kernels ? ` with ${engine.kernels} kernels` : "";
  say("about", [
    `${info.architecture}, ${info.classes.toLocaleString("en")} classes`,
    `${engine.engine} ${engine.version} on ${engine.device}${kernels}`,
    `${plural(plan.lanes, "lane")} of ${plural(plan.threads, "thread")}`,
  ].join(" · "));
  say("formats", `${limits.formats.join(", ")}, up to ${bytes(limits.max_body_bytes)}`);
  say("plan", `Lanes and threads: ${plan.chosen}.`);
  const header = info.authentication ? "-H 'Authorization: Bearer KEY' " : "";
  say("shell", `curl ${header}-F image=@image.jpg ${new URL("classify", document.baseURI)}`);
  say("version", `rgp ${info.version}, model ${info.sha256.slice(0, 12)}.`);
  byId("samples").hidden = !info.samples.length;
  byId("sample-list").replaceChildren(...info.samples.map((name) => sample(name, take)));
  byId("graph").hidden = !info.has_graph;
  if (info.has_graph) showGraph(info);
}

function sample(name, take) {
  const title = name.replace(/^sample-/, "").replace(/\.\w+$/, "");
  const path = `samples/${encodeURIComponent(name)}`;
  const onclick = () => take(path, name);
  return make("button", { type: "button", title, onclick }, make("img", { src: path, alt: `sample: ${title}` }));
}

function showGraph({ graph, cost: { macs, dense_macs: dense } }) {
  byId("drawing").src = "graph.svg";
  byId("drawing").alt = `Drawing of the graph ${graph ?? ""}`;
  const left = macs < dense ? ` ${percent(macs / dense)} of the dense network's multiply-accumulates are left.` : "";
  say("graph-note", `${graph ?? "It"} decides which groups of channels see each other.${left}`);
}
