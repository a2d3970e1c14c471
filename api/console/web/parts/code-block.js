// Lines of code or JSON with a copy button; with several languages, tabs.
import { html, useId, useState } from "../lib/preact.js";
import { CopyButton } from "./copy-button.js";

/** `code`: the text; `label`: what it is, for screen readers. */
export function CodeBlock({ code, label }) {
  return html`<div class="code">
    <${CopyButton} text=${code} label=${`Copy ${label}`} />
    <pre tabindex="0" role="region" aria-label=${label}><code>${code}</code></pre>
  </div>`;
}

/** `tabs`: `[{name, code}]`. Arrow keys go from tab to tab, as the ARIA pattern has it. */
export function CodeTabs({ tabs, label }) {
  const [chosen, setChosen] = useState(0);
  const id = useId();
  const shown = Math.min(chosen, tabs.length - 1);
  function onKeyDown(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = (shown + step + tabs.length) % tabs.length;
    setChosen(next);
    event.currentTarget.children[next].focus();
  }
  return html`<div class="code-tabs">
    <div role="tablist" aria-label=${label} class="tabs" onKeyDown=${onKeyDown}>
      ${tabs.map(
        ({ name }, index) => html`<button key=${name} type="button" role="tab" id=${`${id}-${index}`} class="tab"
          aria-selected=${index === shown ? "true" : "false"} aria-controls=${`${id}-panel`}
          tabindex=${index === shown ? 0 : -1} onClick=${() => setChosen(index)}>${name}</button>`,
      )}
    </div>
    <div role="tabpanel" id=${`${id}-panel`} aria-labelledby=${`${id}-${shown}`}>
      <${CodeBlock} code=${tabs[shown].code} label=${`${label}, ${tabs[shown].name}`} />
    </div>
  </div>`;
}
