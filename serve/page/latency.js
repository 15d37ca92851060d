// latency.js: the live panel: asks /latency every two seconds while the page is seen, and shows what it says.
import { showPercentiles } from "./answer.js";
import { drawPairs } from "./plot.js";
import { ask } from "./service.js";
import { ago, byId, make, ms, percent, plural, say, times } from "./say.js";

const SECONDS = 2;
const NO_FIGURE = "No live figure yet: the service measures only while it is idle.";
const DROPPED = {
  busy: "while requests waited",
  budget: "to stay within the CPU budget",
  stale: "too old",
  failed: "as an engine failed",
};

/** Begin to ask; a page that nobody sees asks nothing. */
export function watchLatency() {
  let timer = null;
  let asking = false;
  async function poll() {
    if (asking || document.hidden) return;
    asking = true;
    let wait = SECONDS;
    try {
      show(await ask("latency"));
    } catch (error) {
      wait = error.wait ?? SECONDS;
      note(`${error.message} What stands here may be old.`);
    }
    asking = false;
    timer = setTimeout(poll, 1000 * wait);
  }
  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    poll();
  });
  poll();
}

function show(latency) {
  const { live, bundle, recent, lane } = latency;
  const baseline = live ?? bundle.find((row) => row.batch === 1) ?? bundle[0];
  note(live ? "" : (lane.on ? NO_FIGURE : "This service does not measure live.") + fallback(baseline));
  byId("figures").hidden = byId("source").hidden = !baseline;
  if (baseline) showBaseline(baseline);
  byId("pairs").hidden = !live;
  if (live) drawPairs(byId("plot"), recent, live);
  const facts = factsOf(latency);
  if (byId("facts").innerText !== facts.join("\n")) {
    byId("facts").replaceChildren(...facts.map((text) => make("li", { textContent: text })));
  }
  showPercentiles(latency.stages_ms);
}

function note(text) {
  say("live-note", text);
  byId("live-note").hidden = !text;
}

function fallback(baseline) {
  return baseline ? " These figures are the bundle's, from when it was compiled." : " The bundle holds none either.";
}

function showBaseline(baseline) {
  const { source, speedup, speedup_ci95: [low, high], pairs, age_s: age } = baseline;
  const { dense_ms_p50: dense, compiled_ms_p50: compiled } = baseline;
  const { cpu, threads, time } = baseline.environment;
  say("source", source === "live" ? "live" : "from the bundle");
  byId("source").classList.toggle("live", source === "live");
  say("ratio", times(speedup));
  const when = age === null ? `measured ${time.slice(0, 10)}` : ago(age);
  say("interval", `95% interval ${low.toFixed(2)} to ${high.toFixed(2)}, ${plural(pairs, "pair")}, ${when}`);
  for (const [id, value] of Object.entries({ dense, compiled })) {
    byId(id).style.width = `${(100 * value) / Math.max(dense, compiled)}%`;
    say(`${id}-ms`, `${ms(value)} ms`);
  }
  const batch = baseline.batch === 1 ? "" : `, batches of ${baseline.batch}`;
  say("method", `How: ${baseline.method}; on ${cpu}, ${plural(threads, "thread")}${batch}.`);
}

function factsOf({ agreement, end_to_end: whole, self_test: test, lane }) {
  const facts = [];
  if (agreement) {
    const [low, high] = agreement.ci95.map(percent);
    const counted = `${percent(agreement.share)} (${agreement.agree} of ${agreement.n})`;
    facts.push(`Same top class as dense: ${counted}, 95% interval ${low} to ${high}`);
  }
  if (whole) {
    const rest = `${ms(whole.overhead_ms_p50)} ms of it are not the network's`;
    facts.push(`A whole request: ${times(whole.speedup)} as fast; ${rest}`);
  }
  if (test) {
    const verdict = test.agrees ? "they agree" : "they do not agree: trust the live figure with care";
    const ratios = `${times(test.alone)} each engine alone, ${times(test.interleaved)} in turns`;
    facts.push(`Test at start: ${ratios}; ${verdict}`);
  }
  const dropped = Object.entries(lane.dropped).filter(([, count]) => count);
  if (dropped.length) {
    facts.push(`Pictures not paired: ${dropped.map(([why, count]) => `${count} ${DROPPED[why] ?? why}`).join(", ")}`);
  }
  return facts;
}
