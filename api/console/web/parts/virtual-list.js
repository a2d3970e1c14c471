// A list of any length of which only the rows in sight are in the page: 10,000 rows scroll without a stutter.
import { html, useEffect, useLayoutEffect, useRef, useState } from "../lib/preact.js";

const SPARE_ROWS = 8;

/**
 * `rows`: an array; `rowHeight`: pixels; `draw(row, index)`: a row's markup, without its position; `chosen`: the index
 * that is kept in sight, -1 for none; `onEnd()`: called near the end, to load more; `label`: for screen readers.
 */
export function VirtualList({ rows, rowHeight, draw, chosen = -1, onEnd, label }) {
  const box = useRef(null);
  const [view, setView] = useState({ top: 0, height: 600 });
  useLayoutEffect(() => {
    const measure = () => setView({ top: box.current.scrollTop, height: box.current.clientHeight });
    const watched = new ResizeObserver(measure);
    watched.observe(box.current);
    measure();
    return () => watched.disconnect();
  }, []);
  useEffect(() => {
    if (chosen < 0) return;
    const { scrollTop, clientHeight } = box.current;
    const top = chosen * rowHeight;
    if (top < scrollTop) box.current.scrollTop = top;
    else if (top + rowHeight > scrollTop + clientHeight) box.current.scrollTop = top + rowHeight - clientHeight;
  }, [chosen, rowHeight]);
  const first = Math.max(0, Math.floor(view.top / rowHeight) - SPARE_ROWS);
  const last = Math.min(rows.length, Math.ceil((view.top + view.height) / rowHeight) + SPARE_ROWS);
  useEffect(() => {
    if (onEnd && last >= rows.length) onEnd();
  }, [last, rows.length]);
  const onScroll = () => setView({ top: box.current.scrollTop, height: box.current.clientHeight });
  return html`<div class="virtual" ref=${box} onScroll=${onScroll} tabindex="0" role="list" aria-label=${label}>
    <div class="virtual-whole" role="presentation" style=${{ height: `${rows.length * rowHeight}px` }}>
      ${rows.slice(first, last).map((row, offset) => {
        const index = first + offset;
        const place = { transform: `translateY(${index * rowHeight}px)`, height: `${rowHeight}px` };
        return html`<div key=${row.id ?? index} class="virtual-row" role="listitem" aria-setsize=${rows.length}
          aria-posinset=${index + 1} style=${place}>${draw(row, index)}</div>`;
      })}
    </div>
  </div>`;
}
