// Numbers, durations and instants as people read them.

const NUMBER = new Intl.NumberFormat("en");
const UNITS = ["B", "KB", "MB", "GB", "TB"];

/** 12345.678 → "12,345.7"; null → "–". `digits`: significant ones below 100. */
export function number(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (Number.isInteger(value) || Math.abs(value) >= 100) return NUMBER.format(Math.round(value));
  return NUMBER.format(Number(value.toPrecision(digits)));
}

/** 0.1234 → "12.3%" */
export function percent(share, digits = 1) {
  return share === null || share === undefined ? "–" : `${(share * 100).toFixed(digits)}%`;
}

/** Seconds: 0.0042 → "4.2 ms", 75 → "1 min 15 s", 60 → "1 min" */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 0.0995) return `${number(seconds * 1000, 2)} ms`;
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${number(seconds, 3)} s`;
  if (seconds < 3599.5) return inTwo(Math.round(seconds), 60, "min", "s");
  if (seconds < 86400) return inTwo(Math.floor(seconds / 60), 60, "h", "min");
  return inTwo(Math.floor(seconds / 3600), 24, "d", "h");
}

function inTwo(small, ratio, large, unit) {
  const rest = small % ratio;
  return `${Math.floor(small / ratio)} ${large}${rest ? ` ${rest} ${unit}` : ""}`;
}

/** 1536 → "1.5 KB" (1024 each) */
export function bytes(count) {
  if (count === null || count === undefined) return "–";
  let size = count;
  let unit = 0;
  while (size >= 1024 && unit < UNITS.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${number(size, 3)} ${UNITS[unit]}`;
}

/** An RFC 3339 instant, or milliseconds since 1970, as the browser's local date and time, to the second. */
export function instant(text) {
  if (!text) return "–";
  return new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}

/** An RFC 3339 instant as its distance from `now` (milliseconds), in its largest unit alone: "3 s ago", "2 h ago". */
export function ago(text, now) {
  if (!text) return "–";
  const seconds = Math.max(0, Math.round((now - Date.parse(text)) / 1000));
  if (seconds < 2) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  return seconds < 86400 ? `${Math.floor(seconds / 3600)} h ago` : `${Math.floor(seconds / 86400)} d ago`;
}

/** The first characters of a UUID differ by time, the last by chance: "0193a…9f3c1b". */
export function shortId(id) {
  return id.length > 16 ? `${id.slice(0, 8)}…${id.slice(-6)}` : id;
}
