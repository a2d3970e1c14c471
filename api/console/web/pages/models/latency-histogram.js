// How many of two versions' images took how long: the report's bins from the first that has images to the last.
import { duration, percent } from "../../lib/format.js";
import { html } from "../../lib/preact.js";
import { Histogram } from "./histogram.js";

/** `found`: a version's latencies as the report has them, or null, in the order of `names`. */
export function LatencyHistogram({ title, names, found }) {
  const bins = found.find(Boolean)?.histogram ?? [];
  const filled = bins.map((_, place) => found.some((one) => one?.histogram[place].count));
  const [first, last] = [filled.indexOf(true), filled.lastIndexOf(true)];
  const range = bins.slice(first, last + 1);
  return html`<${Histogram} title=${title} names=${names} words=${(value) => percent(value)}
    groups=${range.map(words)} labels=${range.map(label)} sparse=${range.length > 4}
    values=${found.map((one) => one && shares(one.histogram).slice(first, last + 1))} />`;
}

function words({ from, to }) {
  if (to === null) return `over ${milliseconds(from)}`;
  return from ? `${milliseconds(from)} to ${milliseconds(to)}` : `up to ${milliseconds(to)}`;
}

const label = ({ from, to }) => (to === null ? `> ${milliseconds(from)}` : `≤ ${milliseconds(to)}`);

const milliseconds = (value) => duration(value / 1000);

/** Shares of the images: two versions seldom have as many. */
export function shares(counted) {
  const total = counted.reduce((sum, { count }) => sum + count, 0) || 1;
  return counted.map(({ count }) => count / total);
}
