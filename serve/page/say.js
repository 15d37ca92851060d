// say.js: figures as text, and text into the page; everything goes through textContent, so nothing needs escaping.

export const byId = (id) => document.getElementById(id);

/** Set an element's text; an unchanged one is left alone, with what a person has selected in it. */
export function say(id, text) {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
}

/** A new element with properties (className, textContent, ...) and children. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** A track with a bar that fills `share` (0 to 1) of it. */
export function bar(share) {
  const fill = make("span", { className: "fill accent" });
  fill.style.width = `${100 * share}%`;
  return make("span", { className: "track" }, fill);
}

export const ms = (value) => value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);

export const times = (ratio) => `${ratio.toFixed(2)}×`;

/** A share as a percentage that says 100% and 0% only when it is. */
export function percent(share) {
  if (share > 0 && share < 0.001) return "< 0.1%";
  return share < 1 && share > 0.999 ? "> 99.9%" : `${(100 * share).toFixed(1)}%`;
}

export const bytes = (count) => (count < 1e6 ? `${Math.ceil(count / 1e3)} kB` : `${(count / 1e6).toFixed(1)} MB`);

export const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

export function ago(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min ago` : `${Math.round(seconds / 3600)} h ago`;
}
