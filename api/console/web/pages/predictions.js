// Predictions: a live list with filters in the address, and one prediction in full beside it.
import { html, useCallback, useEffect, useMemo, useRef, useState } from "../lib/preact.js";
import { download } from "../lib/api.js";
import { instant, number } from "../lib/format.js";
import { go, to } from "../lib/router.js";
import { curlPost } from "../parts/commands.js";
import { Icon } from "../parts/icon.js";
import { EmptyState, ErrorNotice, Loading } from "../parts/notices.js";
import { toast } from "../parts/toasts.js";
import { VirtualList } from "../parts/virtual-list.js";
import { Detail } from "./predictions/detail.js";
import { asked, Filters } from "./predictions/filters.js";
import { Row } from "./predictions/row.js";
import { useTail } from "./predictions/tail.js";

const NARROW = matchMedia("(max-width: 760px)");

export function View({ route }) {
  const { query, rest } = route;
  const open = rest[0] ?? null;
  const filters = useMemo(() => asked(query), [JSON.stringify(query)]);
  const [scrolled, setScrolled] = useState(false);
  const [live, setLive] = useState(true);
  const tail = useTail(filters, { live, hold: scrolled });
  const chosen = tail.rows.findIndex(({ id }) => id === open);
  const narrow = useNarrow();

  const show = useCallback((id) => go(to("predictions", id ? [id] : [], query), { replace: Boolean(open && id) }), [query, open]);
  useKeys({ rows: tail.rows, chosen, open, show });
  const draw = useCallback((one) => html`<${Row} one=${one} open=${one.id === open} href=${to("predictions", [one.id], query)} />`, [query, open]);
  const saves = (format) => () =>
    download("v1/predictions", { ...filters, format }, `predictions.${format}`).catch((error) => toast(error.message, "bad"));

  const filtered = Object.keys(filters).length > 0;
  return html`<div class=${`predictions${open ? " predictions-open" : ""}`}>
    ${narrow && open && html`<h1 class="visually-hidden">Predictions</h1>`}
    <div class="predictions-list" hidden=${narrow && open !== null}>
      <header class="page-head">
        <h1>Predictions</h1>
        <div class="actions">
          <button type="button" class="button button-small live-switch" aria-pressed=${live ? "true" : "false"} onClick=${() => setLive(!live)}>
            <span class="live-dot" aria-hidden="true"></span>${live ? "Live" : "Paused"}</button>
          <button type="button" class="button button-small" onClick=${saves("csv")}><${Icon} name="download" size=${15} />CSV</button>
          <button type="button" class="button button-small" onClick=${saves("ndjson")}><${Icon} name="download" size=${15} />NDJSON</button>
        </div>
      </header>
      <${Filters} query=${query} onChange=${(next) => go(to("predictions", open ? [open] : [], next), { replace: true })} />
      <${ErrorNotice} error=${tail.error} onRetry=${tail.refresh} />
      <p class="search-reach soft" role="status">${tail.searched !== null && html`Searching older predictions… <span aria-hidden="true">
        Looked back to ${instant(tail.searched)}, found ${number(tail.rows.length)}. Change the filter to stop.</span>`}</p>
      <div class="predictions-box" onScrollCapture=${(event) => setScrolled(event.target.scrollTop > 4)}>
        ${tail.waiting > 0 && html`<button type="button" class="button button-main button-small newer" onClick=${tail.take}>${number(tail.waiting)}${tail.waiting >= 50 ? "+" : ""} new</button>`}
        ${tail.rows.length > 0 &&
        html`<${VirtualList} rows=${tail.rows} rowRem=${narrow ? 4.4 : 3.07} chosen=${chosen} onEnd=${tail.more} label="Predictions, newest first"
          draw=${draw} />`}
        ${tail.rows.length === 0 && tail.loading && tail.searched === null && html`<${Loading} />`}
        ${tail.rows.length === 0 && !tail.loading && !tail.error &&
        (filtered
          ? html`<${EmptyState} icon="search" title="Nothing matches">No prediction has all that the filters ask for.</>`
          : html`<${EmptyState} icon="predictions" title="No predictions yet" command=${curlPost("v1/predictions", "image", "picture.jpg")}>Send a picture, and it is here at once.</>`)}
      </div>
      <p class="soft keys-help"><kbd>j</kbd> <kbd>k</kbd> next and previous, <kbd>Enter</kbd> opens, <kbd>Esc</kbd> closes</p>
    </div>
    ${open && html`<${Detail} key=${open} id=${open} query=${query} onClose=${() => show(null)} onChanged=${tail.refresh} />`}
  </div>`;
}

function useNarrow() {
  const [narrow, setNarrow] = useState(NARROW.matches);
  useEffect(() => {
    const onChange = () => setNarrow(NARROW.matches);
    NARROW.addEventListener("change", onChange);
    return () => NARROW.removeEventListener("change", onChange);
  }, []);
  return narrow;
}

/** j, k and the arrows go through the list and show each; Enter shows the first; Escape closes. */
function useKeys(state) {
  const held = useRef(state);
  held.current = state;
  useEffect(() => {
    function onKeyDown(event) {
      const { rows, chosen, open, show } = held.current;
      if (event.altKey || event.ctrlKey || event.metaKey || document.querySelector("dialog[open]")) return;
      if (event.target.closest?.("input, select, textarea, [role=tab], pre")) return;
      const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
      if (step && rows.length > 0 && (event.key.length === 1 || open)) {
        event.preventDefault();
        show(rows[Math.min(rows.length - 1, Math.max(0, chosen + step))].id);
      } else if (event.key === "Enter" && !open && rows.length > 0 && !event.target.closest?.("a, button, summary")) {
        show(rows[0].id);
      } else if (event.key === "Escape" && open) {
        show(null);
      }
    }
    document.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("keydown", onKeyDown);
  }, []);
}
