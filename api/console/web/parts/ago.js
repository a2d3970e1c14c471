// How long ago an instant was: only words that change are drawn anew, and not the page around them.
import { ago } from "../lib/format.js";
import { everySecond } from "../lib/live.js";
import { html, useEffect, useState } from "../lib/preact.js";

/** `at`: an RFC 3339 instant. */
export function Ago({ at }) {
  const [, redraw] = useState("");
  useEffect(() => everySecond(() => redraw(ago(at, Date.now()))), [at]);
  return html`${ago(at, Date.now())}`;
}
