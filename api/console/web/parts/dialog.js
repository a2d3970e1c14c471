// A modal dialog: the browser's own, which keeps the focus inside and closes with Escape.
import { html, useEffect, useId, useRef, useState } from "../lib/preact.js";
import { ErrorNotice } from "./notices.js";
import { Icon } from "./icon.js";

/**
 * `title`, children, `onClose`. Afterwards the focus is where it was before; where that is gone, on the element whose id
 * is `after`, or on the page.
 */
export function Dialog({ title, onClose, children, wide = false, after = "main" }) {
  const element = useRef(null);
  const id = useId();
  useEffect(() => {
    const before = document.activeElement;
    element.current.showModal();
    return () => {
      // A dialog that is taken out of the page gives the focus to nobody.
      const known = before !== document.body && before?.isConnected && after === "main";
      (known ? before : document.getElementById(after))?.focus({ preventScroll: true });
    };
  }, []);
  const onClick = (event) => event.target === element.current && onClose();
  return html`<dialog ref=${element} class=${`dialog${wide ? " dialog-wide" : ""}`} aria-labelledby=${id}
    onClose=${onClose} onClick=${onClick}>
    <header class="dialog-head">
      <h2 id=${id}>${title}</h2>
      <button type="button" class="button button-quiet" aria-label="Close" onClick=${onClose}><${Icon} name="close" /></button>
    </header>
    <div class="dialog-body">${children}</div>
  </dialog>`;
}

/** Ask before something is done: children say what will happen; `act` does it, and its error is shown here. */
export function Confirm({ title, action, act, onClose, danger = false, after, children }) {
  const [state, setState] = useState({ busy: false, error: null });
  async function onSubmit(event) {
    event.preventDefault();
    setState({ busy: true, error: null });
    try {
      await act(new FormData(event.target));
      onClose();
    } catch (error) {
      setState({ busy: false, error });
    }
  }
  return html`<${Dialog} title=${title} onClose=${onClose} after=${after}>
    <form onSubmit=${onSubmit}>
      ${children}
      <${ErrorNotice} error=${state.error} />
      <div class="actions">
        <button type="button" class="button" onClick=${onClose}>Keep as it is</button>
        <button type="submit" class=${`button ${danger ? "button-danger" : "button-main"}`} disabled=${state.busy}>
          ${state.busy ? "Working…" : action}
        </button>
      </div>
    </form>
  <//>`;
}
