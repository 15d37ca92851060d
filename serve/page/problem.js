// problem.js: shows what went wrong, and offers to try again when that may help and the service says it is time.
import { byId, say } from "./say.js";

let countdown = null;

export function clearProblem() {
  clearInterval(countdown);
  byId("problem").hidden = byId("again").hidden = true;
}

/** Show an error; `again` asks once more, where waiting can help: no answer, too busy, or the service's own fault. */
export function showProblem(error, again) {
  clearProblem();
  say("status", "");
  say("problem", error.id ? `${error.message} (request ${error.id})` : error.message);
  byId("problem").hidden = false;
  byId("answer").hidden = true;
  if (!again || (error.status !== 0 && error.status !== 429 && !(error.status >= 500))) return;
  const button = byId("again");
  const ready = Date.now() + 1000 * (error.wait ?? 0);
  function tick() {
    const seconds = Math.ceil((ready - Date.now()) / 1000);
    button.disabled = seconds > 0;
    button.textContent = seconds > 0 ? `Try again in ${seconds} s` : "Try again";
    if (seconds <= 0) clearInterval(countdown);
  }
  button.onclick = again;
  button.hidden = false;
  countdown = setInterval(tick, 250);
  tick();
}
