// A list of any length of which only the rows in sight, and a few around them, are in the page.
import { useSignal } from "../lib/signal.js";
import { textSize } from "../lib/text-size.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "../lib/preact.js";

/** Rows come and go in blocks: most scroll events change nothing in the page. */
const BLOCK = 8;
/** More are asked for before their place is in sight. */
const ROWS_AHEAD = 24;

/**
 * `rows`: an array; `rowRem`: a row's height in rem; `draw(row, index)`: a row's markup, without its position, the same function while
 * it draws the same; `chosen`: the index that is kept in sight, -1 for none; `onEnd()`: called near the end, to load more;
 * `label`: for screen readers.
 */
export function VirtualList({ rows, rowRem, draw, chosen = -1, onEnd, label }) {
  const rowHeight = Math.round(rowRem * useSignal(textSize));
  const box = useRef(null);
  const drawn = useRef(new Map());
  const [part, setPart] = useState({ from: 0, to: 2 * BLOCK });
  function measure() {
    const { scrollTop, clientHeight } = box.current;
    const from = (Math.floor(scrollTop / rowHeight / BLOCK) - 1) * BLOCK;
    const to = (Math.ceil((scrollTop + clientHeight) / rowHeight / BLOCK) + 1) * BLOCK;
    setPart((before) => (before.from === from && before.to === to ? before : { from, to }));
  }
  useLayoutEffect(() => {
    const watched = new ResizeObserver(measure);
    watched.observe(box.current);
    measure();
    return () => watched.disconnect();
  }, [rowHeight]);
  useEffect(() => {
    if (chosen < 0) return;
    const { scrollTop, clientHeight } = box.current;
    const top = chosen * rowHeight;
    if (top < scrollTop) box.current.scrollTop = top;
    else if (top + rowHeight > scrollTop + clientHeight) box.current.scrollTop = top + rowHeight - clientHeight;
  }, [chosen, rowHeight]);
  const to = Math.min(rows.length, part.to);
  const from = Math.max(0, Math.min(part.from, to));
  useEffect(() => {
    if (onEnd && to + ROWS_AHEAD >= rows.length) onEnd();
  }, [to, rows.length, onEnd]);
  const shown = new Map();
  for (let index = from; index < to; index += 1) {
    const row = rows[index];
    const asked = [row, index, draw, rowHeight, rows.length];
    const key = row.id ?? index;
    const before = drawn.current.get(key);
    // A row whose markup is the same object is not compared with what is in the page.
    shown.set(key, before && asked.every((one, at) => one === before.asked[at]) ? before : { asked, markup: place(...asked, key) });
  }
  drawn.current = shown;
  return html`<div class="virtual" ref=${box} onScroll=${measure} tabindex="0" role="list" aria-label=${label}>
    <div class="virtual-whole" role="presentation" style=${{ height: `${rows.length * rowHeight}px` }}>
      ${[...shown.values()].map(({ markup }) => markup)}
    </div>
  </div>`;
}

function place(row, index, draw, rowHeight, count, key) {
  const style = { transform: `translateY(${index * rowHeight}px)`, height: `${rowHeight}px` };
  return html`<div key=${key} class="virtual-row" role="listitem" aria-setsize=${count} aria-posinset=${index + 1} style=${style}>${draw(row, index)}</div>`;
}
