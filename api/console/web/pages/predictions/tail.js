// The list of predictions as it grows: older pages on demand, newer ones as they come.
import { request } from "../../lib/api.js";
import { useCallback, useEffect, useRef, useState } from "../../lib/preact.js";

const PAGE = 50;
const EVERY_MS = 2000;
const MOST_ROWS = 20_000;
export const MOST_LIVE = 4 * PAGE;
export const EMPTY = { rows: [], newer: [], newest: null, gap: false, cursor: null, error: null, loading: true };

/**
 * Return `{rows, waiting, loading, error, more, take, refresh}`. `live`: whether newer ones are asked for; `hold`: they
 * wait until `take()`, because rows that come in above would move what somebody reads; `waiting`: how many do.
 * However many come, a poll reads one page, no more than one waits, and a list that nobody scrolls keeps MOST_LIVE rows:
 * older ones are read again as somebody scrolls.
 */
export function useTail(filters, { live, hold }) {
  const [state, setState] = useState(EMPTY);
  const held = useRef({ hold });
  held.current.hold = hold;
  const asked = JSON.stringify(filters);
  const ask = useRef(() => {});
  const busy = useRef(false);

  useEffect(() => {
    const stop = new AbortController();
    let timer = 0;
    setState(EMPTY);
    ask.current = async () => {
      clearTimeout(timer);
      try {
        const page = await read(filters, null, stop.signal);
        setState((before) => merged(before, page, held.current.hold));
      } catch (error) {
        if (error.name === "AbortError") return;
        setState((before) => ({ ...before, error, loading: false }));
      }
      clearTimeout(timer);
      if (live && !stop.signal.aborted) timer = setTimeout(() => (document.hidden ? wait() : ask.current()), EVERY_MS);
    };
    const wait = () => document.addEventListener("visibilitychange", () => ask.current(), { once: true, signal: stop.signal });
    ask.current();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [asked, live]);

  const more = useCallback(async () => {
    if (busy.current || !state.cursor || state.rows.length >= MOST_ROWS) return;
    busy.current = true;
    try {
      const page = await read(filters, state.cursor);
      setState((before) => (before.cursor === state.cursor ? { ...before, rows: joined(before.rows, page.results), cursor: page.cursor } : before));
    } catch (error) {
      setState((before) => ({ ...before, error }));
    }
    busy.current = false;
  }, [asked, state.cursor, state.rows.length]);

  // A page may be empty and yet have a next one, where few of many predictions match.
  useEffect(() => {
    if (state.cursor && state.rows.length < 20) more();
  }, [state.cursor, state.rows.length]);

  const take = useCallback(() => setState(taken), []);
  const loading = state.loading || (state.rows.length === 0 && state.cursor !== null);
  return { ...state, loading, waiting: state.newer.length, more, take, refresh: useCallback(() => ask.current(), []) };
}

async function read(filters, cursor, signal) {
  const answer = await request("GET", "v1/predictions", { query: { ...filters, limit: PAGE, cursor }, signal });
  const { results, next } = await answer.json();
  return { results, cursor: next && new URL(next).searchParams.get("cursor") };
}

/** Return the state with the newest page in it. */
export function merged(before, page, hold) {
  const ids = (list) => new Set(list.map(({ id }) => id));
  const known = ids(before.rows);
  const overlaps = before.rows.length === 0 || page.results.some(({ id }) => known.has(id));
  const newer = page.results.filter(({ id }) => !known.has(id));
  const fresh = new Map(page.results.map((one) => [one.id, one]));
  const rows = before.rows.map((one) => fresh.get(one.id) ?? one);
  const settled = { ...before, error: null, loading: false };
  if (before.rows.length === 0) return anew(settled, page.results, page.cursor);
  if (hold) {
    const waiting = joined(newer, before.newer);
    const waited = ids(before.newer);
    // More came than what waits holds, or than a page since the last poll: it does not reach down to the rows.
    const misses = waiting.length > PAGE || !(overlaps || page.results.some(({ id }) => waited.has(id)));
    return { ...settled, rows, newer: waiting.slice(0, PAGE), newest: page, gap: before.gap || misses };
  }
  if (!overlaps || before.gap) return anew(settled, page.results, page.cursor);
  const all = joined([...newer, ...before.newer], rows);
  return all.length > MOST_LIVE && all.length > before.rows.length
    ? anew(settled, all.slice(0, MOST_LIVE), all[MOST_LIVE - 1].id)
    : anew(settled, all, before.cursor);
}

/** Return the state with what waits above the rows; in their place where some between were never read. */
export function taken(before) {
  if (before.gap) return anew(before, before.newest.results, before.newest.cursor);
  return anew(before, joined(before.newer, before.rows), before.cursor);
}

const anew = (state, rows, cursor) => ({ ...state, rows, cursor, newer: [], newest: null, gap: false });

/** Return both lists, newest first, each id once: ids are in the order of time. */
function joined(first, second) {
  const every = new Map([...second, ...first].map((one) => [one.id, one]));
  return [...every.values()].sort((one, other) => (one.id < other.id ? 1 : -1));
}
