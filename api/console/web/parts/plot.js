// A line plot over time, by uPlot, which is loaded with the first plot.
import { loadStylesheet } from "../lib/stylesheet.js";
import { html, useEffect, useRef, useState } from "../lib/preact.js";
import { systemIsDark, theme } from "../lib/theme.js";
import { useSignal } from "../lib/signal.js";
import { textSize } from "../lib/text-size.js";

let loading = null;

/** Load uPlot and its style once; again where it could not be loaded. */
function loadPlots() {
  const style = loadStylesheet(new URL("../vendor/uplot.css", import.meta.url));
  loading ??= Promise.all([import("../vendor/uplot.js"), style]).then(([module]) => module.default);
  loading.catch(() => (loading = null));
  return loading;
}

/**
 * `times`: seconds since 1970, rising; `series`: `[{name, values, tone}]` with a value or null for each time, `tone` 1 to
 * 5; `format(value)`: for axis and legend; `steps`: what may lie between two lines, rising, where that is not any round
 * number; `title`: what it shows; `summary`: the same in words, for screen readers; `rows`: its height in rem.
 */
export function Plot({ times, series, format, steps, title, summary, rows = 10 }) {
  const box = useRef(null);
  const plot = useRef(null);
  const lacks = useRef(false);
  const [attempt, setAttempt] = useState(0);
  const rem = useSignal(textSize);
  const height = Math.round(rows * rem);
  const colours = `${useSignal(theme)} ${useSignal(systemIsDark)}`;
  const shape = series.map(({ name, tone }) => `${name}:${tone}`).join();
  useEffect(() => {
    let ended = false;
    let watched = null;
    const draw = (UPlot) => {
      // The page may be left while the library loads.
      if (ended || !box.current) return;
      plot.current = new UPlot(options(box.current, { series, format, steps, height, rem }), data(times, series), box.current);
      watched = new ResizeObserver(([{ contentRect }]) => plot.current.setSize({ width: contentRect.width, height }));
      watched.observe(box.current);
    };
    loadPlots().then(draw, () => (lacks.current = true));
    return () => {
      ended = true;
      watched?.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape, colours, rem, height, attempt]);
  useEffect(() => {
    if (plot.current) {
      plot.current.setData(data(times, series));
      showLast(plot.current);
    } else if (lacks.current) {
      lacks.current = false;
      setAttempt(attempt + 1);
    }
  }, [times, series]);
  return html`<figure class="plot">
    <figcaption>${title}</figcaption>
    <div ref=${box} role="img" aria-label=${summary ?? title}></div>
  </figure>`;
}

/** Without a pointer over the plot its legend shows the last values. */
function showLast(plot) {
  if (plot.cursor.idx === null || plot.cursor.idx === undefined) plot.setLegend({ idx: plot.data[0].length - 1 }, false);
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

/** Seconds between two labels: the clock shows no less than a minute. */
const MINUTES = [1, 2, 5, 10, 15, 30, 60].map((minutes) => 60 * minutes);

const data = (times, series) => [times, ...series.map(({ values }) => values)];

function options(box, { series, format, steps, height, rem }) {
  const style = getComputedStyle(box);
  const colour = (name) => style.getPropertyValue(name).trim();
  const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: `${0.8 * rem}px system-ui` };
  return {
    width: box.clientWidth || 300,
    height,
    padding: [8, 8, 0, 0],
    cursor: { drag: { x: false, y: false }, points: { size: 6 } },
    legend: { live: true },
    axes: [
      { ...axis, space: 5 * rem, size: 1.9 * rem, incrs: MINUTES, values: (_, ticks) => ticks.map((tick) => CLOCK.format(tick * 1000)) },
      { ...axis, space: 2 * rem, size: 4.6 * rem, ...(steps && { incrs: steps }), values: (_, ticks) => ticks.map((tick) => format(tick)) },
    ],
    // Where everything is 0, an axis up to 1 says so better than one of zeros.
    scales: { y: { range: (_, low, high) => [Math.min(0, low ?? 0), (high || 1) * 1.08] } },
    hooks: { ready: [showLast], setCursor: [showLast] },
    series: [
      {},
      ...series.map(({ name, tone = 1 }) => ({
        label: name,
        stroke: colour(`--plot-${tone}`),
        fill: series.length === 1 ? colour(`--plot-${tone}-fill`) : undefined,
        width: 2,
        points: { show: false },
        value: (_, value) => (value === null || value === undefined ? "–" : format(value)),
      })),
    ],
  };
}
