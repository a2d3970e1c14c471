// The last half hour: one plot for each question.
import { bytes, duration, number, percent } from "../../lib/format.js";
import { html, useMemo } from "../../lib/preact.js";
import { ErrorNotice, Loading } from "../../parts/notices.js";
import { Plot } from "../../parts/plot.js";

/** Between two lines of a plot; bytes are told in powers of two. */
const PERCENTS = [0.01, 0.02, 0.05, 0.1, 0.25, 0.5];
const BINARY = Array.from({ length: 60 }, (_, power) => 2 ** power);

const PLOTS = [
  { title: "Images a second", format: number, lines: { computed: "images_per_second", submitted: "submitted_per_second", "from the cache": "cached_per_second" } },
  { title: "Latency", format: duration, lines: { "50%": "latency_p50_seconds", "95%": "latency_p95_seconds", "99%": "latency_p99_seconds" } },
  { title: "Images that wait", format: number, lines: { interactive: "interactive_entries", bulk: "bulk_entries" } },
  { title: "Age of the oldest", format: duration, lines: { "in any lane": "oldest_seconds" } },
  { title: "Refusals and failures a second", format: number, lines: { refused: "refused_per_second", "images failed": "failed_per_second", "answers with 5xx": "request_errors_per_second" } },
  { title: "Images in a micro-batch", format: number, lines: { mean: "batch_size" } },
  { title: "Worker time in forward passes", format: (share) => percent(share, 0), steps: PERCENTS, lines: { mean: "device_busy" } },
  { title: "GPU memory", format: bytes, steps: BINARY, lines: { allocated: "device_memory_bytes" }, optional: true },
  { title: "Redis memory", format: bytes, steps: BINARY, lines: { used: "redis_memory_bytes" } },
  { title: "Rows and webhooks a second", format: number, lines: { "rows recorded": "rows_per_second", "webhooks delivered": "webhooks_per_second", "webhooks failed": "webhooks_failed_per_second" } },
];

/** `history`: of GET /v1/status/history; null until it is there. */
export function Plots({ history, error }) {
  const drawn = useMemo(() => (history ? PLOTS.map((plot) => plotOf(plot, history)).filter(Boolean) : []), [history]);
  if (error) return html`<${ErrorNotice} error=${error} />`;
  if (!history) return html`<${Loading} what="Reading the last minutes…" />`;
  if (history.at.length < 2) {
    return html`<p class="now-calm">Plots begin with the second sample; one is kept every ${history.every_seconds} s.</p>`;
  }
  return html`<div class="now-plots">
    ${drawn.map((plot) => html`<div key=${plot.title} class="card"><${Plot} ...${plot} times=${history.at} rows=${8.7} /></div>`)}
  </div>`;
}

function plotOf({ title, format, steps, lines, optional }, history) {
  const series = Object.entries(lines).map(([name, column], index) => ({ name, values: history[column], tone: index + 1 }));
  if (optional && series.every(({ values }) => values.every((value) => value === null))) return null;
  const last = series.map(({ name, values }) => `${name} ${shown(values.at(-1), format)}`).join(", ");
  return { title, format, steps, series, summary: `${title}, at the end: ${last}` };
}

const shown = (value, format) => (value === null ? "unknown" : format(value));
