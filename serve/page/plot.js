// plot.js: the recent pairs' ratios as dots over the median's interval, drawn as SVG at the width it has.

const HEIGHT = 170;
const [LEFT, RIGHT, TOP, BOTTOM] = [40, 8, 10, 10];

/** Draw `recent` pairs, oldest first, into `svg`, with their median and its interval. */
export function drawPairs(svg, recent, { speedup, speedup_ci95: [from, to] }) {
  const width = svg.clientWidth;
  const ratios = recent.map((pair) => pair.dense_ms / pair.compiled_ms);
  const sorted = [...ratios].sort((a, b) => a - b);
  const at = (share) => sorted[Math.round(share * (sorted.length - 1))];
  // a stray pair must not press the rest flat: the scale holds 96% of them, strays lie at its edge, hollow
  const shown = [1, at(0.02), at(0.98), from, to];
  const margin = 0.06 * (Math.max(...shown) - Math.min(...shown)) || 0.1;
  const [low, high] = [Math.min(...shown) - margin, Math.max(...shown) + margin];
  const y = (ratio) => TOP + ((high - ratio) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const x = (i) => LEFT + ((i + 0.5) / ratios.length) * (width - LEFT - RIGHT);
  const across = (className, ratio) =>
    shape("line", { class: className, x1: LEFT, x2: width - RIGHT, y1: y(ratio), y2: y(ratio) });
  const label = (ratio) =>
    shape("text", { x: LEFT - 6, y: y(ratio) + 4, "text-anchor": "end" }, `${+ratio.toFixed(2)}×`);

  const shapes = ticks(low, high).flatMap((ratio) => [across(ratio === 1 ? "even" : "rule", ratio), label(ratio)]);
  const box = { x: LEFT, width: width - LEFT - RIGHT, y: y(to), height: Math.max(1, y(from) - y(to)) };
  shapes.push(shape("rect", { class: "band", ...box }), across("median", speedup));
  ratios.forEach((ratio, i) => {
    const inside = Math.min(high, Math.max(low, ratio));
    shapes.push(shape("circle", { class: inside === ratio ? "dot" : "dot stray", cx: x(i), cy: y(inside), r: 2.5 }));
  });
  svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  const range = `${at(0).toFixed(2)} to ${at(1).toFixed(2)}`;
  svg.setAttribute("aria-label", `The last ${ratios.length} pairs: dense takes ${range} times as long`);
  svg.replaceChildren(...shapes);
}

/** Round numbers between low and high, a handful, and 1. */
function ticks(low, high) {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const count = Math.floor(high / step) - Math.ceil(low / step) + 1;
  const round = Array.from({ length: count }, (_, i) => (Math.ceil(low / step) + i) * step);
  return [1, ...round.filter((ratio) => Math.abs(ratio - 1) > step / 2)];
}

function shape(name, attributes, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, value);
  element.textContent = text;
  return element;
}
