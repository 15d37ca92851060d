// page.js: asks what is served, sends each picture there, shows the answer or the refusal, starts the live panel.
import { showAnswer } from "./answer.js";
import { showInfo } from "./info.js";
import { watchLatency } from "./latency.js";
import { showPicture, watchPictures } from "./picture.js";
import { clearProblem, showProblem } from "./problem.js";
import { byId, bytes, percent, say } from "./say.js";
import { ask, request, useKey } from "./service.js";

let info = null;
let running = new AbortController(); // of the picture on its way: a newer one cancels it

async function start() {
  const first = info === null;
  try {
    info = await ask("info");
  } catch (error) {
    say("start-problem", error.message);
    byId("start-problem").hidden = error.status === 401 && !byId("key").value; // nobody was asked for it yet
    if (error.status === 401) askForKey();
    else setTimeout(start, 1000 * (error.wait ?? 2));
    return;
  }
  byId("start-problem").hidden = byId("key-form").hidden = true;
  byId("main").hidden = false;
  showInfo(info, takeSample);
  if (!first) return;
  watchPictures(classify, (text) => showProblem(new Error(text)));
  watchLatency();
}

function askForKey() {
  byId("key-form").hidden = false;
  byId("key").select();
}

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(byId("key").value);
  start();
});

function renewed() {
  running.abort();
  running = new AbortController();
  return running.signal;
}

async function takeSample(path, name) {
  try {
    const blob = await (await request(path, { signal: renewed() })).blob();
    classify(new File([blob], name, { type: blob.type }));
  } catch (error) {
    if (error.name !== "AbortError") showProblem(error, () => takeSample(path, name));
  }
}

async function classify(file) {
  const signal = renewed();
  clearProblem();
  showPicture(file);
  const limit = info.limits.max_body_bytes;
  if (file.size > limit) {
    const sizes = `${file.name} has ${bytes(file.size)}, this service takes ${bytes(limit)}`;
    showProblem(new Error(`${sizes}: choose a smaller image.`));
    return;
  }
  say("status", `Asking about ${file.name} …`);
  byId("answer").classList.add("old");
  const started = performance.now();
  try {
    const headers = { "content-type": file.type || "application/octet-stream" };
    const answer = await ask("classify", { method: "POST", body: file, headers, signal });
    showAnswer(answer, performance.now() - started);
    const [{ label, probability }] = answer.predictions;
    say("status", `${file.name}: ${label}, ${percent(probability)}`);
    byId("answer").classList.remove("old");
    if (answer.model.sha256 !== info.sha256) start(); // another model was loaded since
  } catch (error) {
    if (error.name === "AbortError") return;
    showProblem(error, () => classify(file));
    if (error.status === 401) askForKey();
  }
}

start();
