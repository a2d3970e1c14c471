// Copies a text, and says so.
import { html, useRef, useState } from "../lib/preact.js";
import { Icon } from "./icon.js";

/** `text`: what is copied; `label`: what a screen reader calls the button. */
export function CopyButton({ text, label = "Copy" }) {
  const [copied, setCopied] = useState(false);
  const timer = useRef(0);
  async function copy() {
    await copyText(text);
    setCopied(true);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setCopied(false), 2000);
  }
  return html`<button type="button" class="button button-quiet button-small copy" onClick=${copy} aria-label=${label}>
    <${Icon} name=${copied ? "check" : "copy"} size=${15} /><span aria-live="polite">${copied ? "Copied" : "Copy"}</span>
  </button>`;
}

/** Copy a text also where the browser gives the page no clipboard. */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return;
  } catch {
    // Not over HTTPS, or not allowed: the older way may still be.
  }
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
