// Icons of the console: strokes on a grid of 24, in the text's colour. Decoration: the words beside them say it.
import { html } from "../lib/preact.js";

const PATHS = {
  try: "M4 17V7a2 2 0 0 1 2-2h12a2 2 0 0 1 2 2v10a2 2 0 0 1-2 2H6a2 2 0 0 1-2-2zm0-2 4-4 4 4 3-3 5 5M15 9h.01",
  predictions: "M8 6h12M8 12h12M8 18h12M4 6h.01M4 12h.01M4 18h.01",
  batches: "M12 3 3 8l9 5 9-5-9-5zM3 12l9 5 9-5M3 16l9 5 9-5",
  models: "M6 3v12a3 3 0 1 0 3 3M6 9c0 5 12 1 12 6M18 3a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM18 9v6",
  now: "M3 12h4l3-8 4 16 3-8h4",
  webhooks: "M12 8a3 3 0 1 0-2.6-1.5L7 12M7 12a3.5 3.5 0 1 0 3.4 4H17M12 8l3 5.2a3.5 3.5 0 1 1-1 6",
  keys: "M8.5 11.5a4 4 0 1 0 .01 0zM11.3 12.7 20 4M15.5 8.5l3 3M12.8 11.2l1.8 1.8",
  more: "M4 7h16M4 12h16M4 17h16",
  light: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2M12 20v2M4.9 4.9l1.4 1.4M17.7 17.7l1.4 1.4M2 12h2M20 12h2M4.9 19.1l1.4-1.4M17.7 6.3l1.4-1.4",
  dark: "M20 14.5A8 8 0 1 1 9.5 4a6.5 6.5 0 0 0 10.5 10.5z",
  system: "M4 5h16v11H4zM9 20h6M12 16v4",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  check: "m4 12 5 5L20 6",
  close: "M6 6l12 12M18 6 6 18",
  external: "M14 4h6v6M20 4l-9 9M18 14v6H4V6h6",
  download: "M12 4v12m-5-5 5 5 5-5M4 20h16",
  retry: "M4 12a8 8 0 1 1 2.3 5.7M4 20v-5h5",
  warning: "M12 4 2.5 20h19L12 4zm0 6v5m0 2.5h.01",
  camera: "M4 8h3l2-3h6l2 3h3v11H4zM12 10a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7z",
  folder: "M3 6h6l2 2h10v11H3z",
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM16 16l5 5",
  out: "M10 4H4v16h6M15 8l4 4-4 4M19 12H9",
  back: "M15 5l-7 7 7 7",
};

/** `name`: one of PATHS. `size`: in pixels where the page's text has 15; it grows with that. */
export function Icon({ name, size = 18 }) {
  return html`<svg class="icon" style=${{ width: `${size / 15}rem`, height: `${size / 15}rem` }} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
    <path d=${PATHS[name]} />
  </svg>`;
}
