// The list of predictions as it grows: older pages on demand, newer ones as they come.
import { connection, request } from "../../lib/api.js";
import { useLive } from "../../lib/live.js";
import { useCallback, useEffect, useRef, useState } from "../../lib/preact.js";
import { useSignal } from "../../lib/signal.js";

const NEWEST = 50;
const OLDER = 200;
const EVERY_MS = 2000;
const MOST_ROWS = 20_000;
export const MOST_LIVE = 4 * NEWEST;
export const EMPTY = { rows: [], newer: [], newest: null, gap: false, cursor: null, read: false };

/**
 * Return `{rows, waiting, loading, error, more, take, refresh}`. `live`: whether newer ones are asked for; `hold`: they
 * wait until `take()`, because rows that come in above would move what somebody reads; `waiting`: how many do.
 * However many come, a poll reads one page, no more than one waits, and a list that nobody scrolls keeps MOST_LIVE rows:
 * older ones are read again as somebody scrolls.
 */
export function useTail(filters, { live, hold }) {
  const newest = useLive("v1/predictions", { ...filters, limit: NEWEST }, { every: live ? EVERY_MS : 0 });
  const [state, setState] = useState(EMPTY);
  const [failure, setFailure] = useState(null);
  const held = useRef(hold);
  held.current = hold;
  const busy = useRef(false);
  const asked = JSON.stringify(filters);
  const reachable = useSignal(connection) === "up";

  useEffect(() => {
    setState(EMPTY);
    setFailure(null);
  }, [asked]);
  useEffect(() => {
    if (newest.data) setState((before) => merged(before, pageOf(newest.data), held.current));
  }, [newest.data]);
  const { refresh } = newest;
  useEffect(() => {
    if (live) refresh();
  }, [live]);

  // A function of its own after a lost connection is back: the list asks again for what it could not get.
  const more = useCallback(async () => {
    if (busy.current || !reachable || !state.cursor || state.rows.length >= MOST_ROWS) return;
    busy.current = true;
    try {
      const answer = await request("GET", "v1/predictions", { query: { ...filters, limit: OLDER, cursor: state.cursor } });
      const page = pageOf(await answer.json());
      setState((before) => (before.cursor === state.cursor ? { ...before, rows: joined(before.rows, page.results), cursor: page.cursor } : before));
      setFailure(null);
    } catch (error) {
      if (connection.value === "up") setFailure(error);
    }
    busy.current = false;
  }, [asked, reachable, state.cursor, state.rows.length]);

  // A page may be empty and yet have a next one, where few of many predictions match.
  useEffect(() => {
    if (state.cursor && state.rows.length < 20) more();
  }, [state.cursor, state.rows.length, reachable]);

  const take = useCallback(() => setState(taken), []);
  const retry = useCallback(() => {
    refresh();
    more();
  }, [more]);
  const error = newest.error ?? failure;
  const loading = !error && state.rows.length === 0 && (!state.read || state.cursor !== null);
  return { ...state, error, loading, waiting: state.newer.length, more, take, refresh: error ? retry : refresh };
}

const pageOf = ({ results, next }) => ({ results, cursor: next && new URL(next).searchParams.get("cursor") });

/** Return the state with the newest page in it. */
export function merged(before, page, hold) {
  const ids = (list) => new Set(list.map(({ id }) => id));
  const known = ids(before.rows);
  const overlaps = before.rows.length === 0 || page.results.some(({ id }) => known.has(id));
  const newer = page.results.filter(({ id }) => !known.has(id));
  const fresh = new Map(page.results.map((one) => [one.id, one]));
  const rows = before.rows.map((one) => changed(one, fresh.get(one.id)));
  const settled = { ...before, read: true };
  if (before.rows.length === 0) return anew(settled, page.results, page.cursor);
  if (hold) {
    const waiting = joined(newer, before.newer);
    const waited = ids(before.newer);
    // More came than what waits holds, or than a page since the last poll: it does not reach down to the rows.
    const misses = waiting.length > NEWEST || !(overlaps || page.results.some(({ id }) => waited.has(id)));
    return { ...settled, rows, newer: waiting.slice(0, NEWEST), newest: page, gap: before.gap || misses };
  }
  if (!overlaps || before.gap) return anew(settled, page.results, page.cursor);
  const all = joined(joined(newer, before.newer), rows);
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

/** Return the row as it was where it says the same, since a row that is the same object is not drawn anew. */
const changed = (before, now) => (now === undefined || JSON.stringify(before) === JSON.stringify(now) ? before : now);

/** Return both lists, newest first, each id once: ids are in the order of time. */
function joined(first, second) {
  if (first.length === 0 || second.length === 0 || first.at(-1).id > second[0].id) return [...first, ...second];
  const every = new Map([...second, ...first].map((one) => [one.id, one]));
  return [...every.values()].sort((one, other) => (one.id < other.id ? 1 : -1));
}
