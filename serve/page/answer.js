// answer.js: one answer of /classify as bars: its classes, and where its milliseconds went.
import { bar, byId, make, ms, percent, say } from "./say.js";

const STAGES = ["queue", "decode", "preprocess", "inference"];

/** Show an answer that took `trip` milliseconds to come, as the browser sees it. */
export function showAnswer({ predictions, timing_ms: timing, request_id: id }, trip) {
  byId("classes").replaceChildren(...predictions.map(line));
  const known = STAGES.reduce((sum, stage) => sum + timing[stage], 0);
  for (const [stage, value] of Object.entries({ ...timing, other: Math.max(0, timing.total - known) })) {
    cells(stage)[0].textContent = ms(value);
    const piece = document.querySelector(`#stack .${stage}`); // the total has none
    if (piece) piece.style.flexGrow = value;
  }
  say("trip", `${ms(trip)} ms as this browser saw it, with the way there and back. Request ${id}.`);
  byId("answer").hidden = false;
}

/** Fill in what the last requests took; `stages` maps a stage to its p50 and p99 in milliseconds. */
export function showPercentiles(stages) {
  for (const stage of [...STAGES, "total"].filter((name) => stages[name])) {
    const [, median, most] = cells(stage);
    [median.textContent, most.textContent] = [ms(stages[stage].p50), ms(stages[stage].p99)];
  }
}

const cells = (stage) => byId(stage).querySelectorAll("td");

function line({ label, probability }) {
  const share = make("span", { textContent: percent(probability) });
  return make("li", {}, make("span", { textContent: label }), bar(probability), share);
}
