// What a page shows in place of data: that it loads, that there is none yet and what to do, what went wrong.
import { BASE } from "../lib/api.js";
import { html } from "../lib/preact.js";
import { CodeBlock } from "./code-block.js";
import { Icon } from "./icon.js";

export function Loading({ what = "Loading…" }) {
  return html`<p class="loading" role="status">${what}</p>`;
}

/** Nothing there yet: `title`, what it would show (children), and the `command` to copy that makes the first one. */
export function EmptyState({ icon, title, command, children }) {
  return html`<div class="empty">
    <${Icon} name=${icon} size=${34} />
    <h2>${title}</h2>
    ${children && html`<p>${children}</p>`}
    ${command && html`<${CodeBlock} code=${command} label="the command" />`}
    ${command?.startsWith("darkroom ") && html`<${InAClone} />`}
  </div>`;
}

/** Where the command is found that a line to copy begins with. */
export const InAClone = () => html`<p class="soft">On the machine that runs Darkroom; in a clone of its repository the command is <code>.venv/bin/darkroom</code>.</p>`;

/** An error in the API's own words; `onRetry`: what its button does. */
export function ErrorNotice({ error, onRetry }) {
  if (!error) return null;
  const type = error.problem?.type ?? "";
  return html`<div class="notice notice-bad" role="alert">
    <${Icon} name="warning" />
    <div>
      <strong>${error.problem?.title ?? "Something went wrong"}</strong>
      <p>${error.message}</p>
      ${type.includes("/problems/") && html`<a href=${new URL(type, BASE).href} target="_blank" rel="noopener">What this means</a>`}
    </div>
    ${onRetry && html`<button type="button" class="button button-small" onClick=${onRetry}>Try again</button>`}
  </div>`;
}
