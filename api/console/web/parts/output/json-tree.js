// JSON as a tree that opens and closes: the browser's own details elements, so that keys and screen readers know them.
import { html, useState } from "../../lib/preact.js";
import { CodeBlock } from "../code-block.js";

const OPEN_DEPTH = 2;
const MOST_MEMBERS = 100;

/** `value`: any JSON. A button shows it as text, to copy. */
export function JsonTree({ value }) {
  const [asText, setAsText] = useState(false);
  return html`<div class="json">
    <button type="button" class="button button-quiet button-small" aria-pressed=${asText ? "true" : "false"}
      onClick=${() => setAsText(!asText)}>As text</button>
    ${asText
      ? html`<${CodeBlock} code=${JSON.stringify(value, null, 2)} label="the output as JSON" />`
      : html`<div class="json-tree" role="group" aria-label="The output" tabindex="0"><${Members} value=${value} depth=${1} /></div>`}
  </div>`;
}

function Members({ value, depth }) {
  const [most, setMost] = useState(MOST_MEMBERS);
  const members = Object.entries(value);
  return html`<ul>
    ${members.slice(0, most).map(([name, member]) => html`<li key=${name}><${Member} name=${name} value=${member} depth=${depth} /></li>`)}
    ${members.length > most && html`<li><button type="button" class="button button-quiet button-small"
      onClick=${() => setMost(most + MOST_MEMBERS)}>${members.length - most} more</button></li>`}
  </ul>`;
}

function Member({ name, value, depth }) {
  const nested = value !== null && typeof value === "object";
  const [open, setOpen] = useState(depth < OPEN_DEPTH);
  if (!nested) return html`<span class="json-name">${name}</span> <span class=${`json-value json-${value === null ? "null" : typeof value}`}>${JSON.stringify(value)}</span>`;
  const count = Object.keys(value).length;
  const shape = Array.isArray(value) ? `[${count}]` : `{${count}}`;
  if (count === 0) return html`<span class="json-name">${name}</span> <span class="json-value soft">${shape}</span>`;
  // What is closed is not drawn: an output may have 64 KiB.
  return html`<details open=${open} onToggle=${(event) => setOpen(event.currentTarget.open)}>
    <summary><span class="json-name">${name}</span> <span class="soft">${shape}</span></summary>
    ${open && html`<${Members} value=${value} depth=${depth + 1} />`}
  </details>`;
}
