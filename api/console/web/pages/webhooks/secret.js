// The secret that signs webhooks: shown when asked for, changed by admins.
import { get, post, untilReached } from "../../lib/api.js";
import { html, useEffect, useState } from "../../lib/preact.js";
import { may } from "../../lib/session.js";
import { CodeBlock } from "../../parts/code-block.js";
import { Confirm, Dialog } from "../../parts/dialog.js";
import { Icon } from "../../parts/icon.js";
import { ErrorNotice, Loading } from "../../parts/notices.js";
import { toast } from "../../parts/toasts.js";

const PATH = "v1/webhooks/default/secret";

export function Secret() {
  const [open, setOpen] = useState(null);
  return html`<div class="actions">
    <button type="button" class="button" onClick=${() => setOpen("secret")}><${Icon} name="keys" />Signing secret</button>
    ${may("admin") && html`<button type="button" class="button" onClick=${() => setOpen("rotate")}><${Icon} name="retry" />Change the secret</button>`}
    ${open === "secret" && html`<${Shown} onClose=${() => setOpen(null)} />`}
    ${open === "rotate" &&
    html`<${Confirm} title="Change the signing secret?" action="Change it" danger onClose=${() => setOpen((now) => (now === "rotate" ? null : now))}
      act=${async () => {
        await post(`${PATH}/rotate`);
        toast("The secret was changed. For a day the old one signs too.");
        setOpen("secret");
      }}>
      <p>
        A new secret signs from now on. For a day the old one signs too, so that receivers have time to change over; then they
        refuse what they can’t verify.
      </p>
    <//>`}
  </div>`;
}

/** The secret is asked for here and kept nowhere. */
function Shown({ onClose }) {
  const [state, setState] = useState({ key: null, error: null });
  useEffect(() => {
    untilReached(() => get(PATH)).then(
      ({ key }) => setState({ key, error: null }),
      (error) => setState({ key: null, error }),
    );
  }, []);
  return html`<${Dialog} title="Signing secret" onClose=${onClose}>
    <p>Your receiver verifies the signature with it, by any library of Standard Webhooks.</p>
    <${ErrorNotice} error=${state.error} />
    ${!state.key && !state.error && html`<${Loading} />`}
    ${state.key && html`<${CodeBlock} code=${state.key} label="the secret" />`}
  <//>`;
}
