// The list of predictions as it grows: older pages on demand, newer ones as they come.
import { connection, request } from "../../lib/api.js";
import { useLive } from "../../lib/live.js";
import { useCallback, useEffect, useRef, useState } from "../../lib/preact.js";
import { useSignal } from "../../lib/signal.js";

const NEWEST = 50;
const OLDER = 200;
const EVERY_MS = 2000;
/** Where few match, a poll reads many rows. */
const SEARCH_EVERY_MS = 10_000;
/** More than a poll takes, and than the API's clock is told in. */
const MARGIN_MS = 10_000;
const MOST_ROWS = 20_000;
export const MOST_LIVE = 4 * NEWEST;
/** A list with fewer goes on reading older pages by itself. */
const FEWEST_ROWS = 20;
export const EMPTY = { rows: [], newer: [], newest: null, gap: false, cursor: null, read: false };

/**
 * Return `{rows, waiting, loading, searched, error, more, take, refresh}`. `live`: whether newer ones are asked for; `hold`:
 * they wait until `take()`, because rows that come in above would move what somebody reads; `waiting`: how many do.
 * `searched`: where few match, the instant (milliseconds) down to which was looked so far, else null.
 * However many come, a poll reads one page, no more than one waits, and a list that nobody scrolls keeps MOST_LIVE rows:
 * older ones are read again as somebody scrolls.
 */
export function useTail(filters, { live, hold }) {
  const newest = useLive("v1/predictions", { ...filters, limit: NEWEST }, { every: live ? interval : 0 });
  const [state, setState] = useState(EMPTY);
  const [failure, setFailure] = useState(null);
  const held = useRef(hold);
  held.current = hold;
  const reading = useRef(null);
  const asked = JSON.stringify(filters);
  const reachable = useSignal(connection) === "up";

  useEffect(() => {
    setState(EMPTY);
    setFailure(null);
    return () => {
      reading.current?.abort();
      reading.current = null;
    };
  }, [asked]);
  useEffect(() => {
    if (newest.data) setState((before) => merged(before, { ...pageOf(newest.data), since: newest.before.current }, held.current));
  }, [newest.data]);
  const { refresh } = newest;
  useEffect(() => {
    if (live) refresh();
  }, [live]);

  // A function of its own after a lost connection is back: the list asks again for what it could not get.
  const more = useCallback(async () => {
    if (reading.current || !reachable || !state.cursor || state.rows.length >= MOST_ROWS) return;
    const own = new AbortController();
    reading.current = own;
    try {
      const query = { ...filters, limit: OLDER, cursor: state.cursor };
      const answer = await request("GET", "v1/predictions", { query, signal: own.signal });
      const page = pageOf(await answer.json());
      setState((before) => (before.cursor === state.cursor ? { ...before, rows: joined(before.rows, page.results), cursor: page.cursor } : before));
      setFailure(null);
    } catch (error) {
      if (!own.signal.aborted && connection.value === "up") setFailure(error);
    }
    if (reading.current === own) reading.current = null;
  }, [asked, reachable, state.cursor, state.rows.length]);

  // A page may be empty and yet have a next one, where few of many predictions match.
  useEffect(() => {
    if (state.cursor && state.rows.length < FEWEST_ROWS) more();
  }, [state.cursor, state.rows.length, reachable]);

  const take = useCallback(() => setState(taken), []);
  const retry = useCallback(() => {
    refresh();
    more();
  }, [more]);
  const error = newest.error ?? failure;
  const loading = !error && state.rows.length === 0 && (!state.read || state.cursor !== null);
  const searched = !error && state.cursor && state.rows.length < FEWEST_ROWS ? createdAt(state.cursor) : null;
  return { ...state, error, loading, searched, waiting: state.newer.length, more, take, refresh: error ? retry : refresh };
}

/** Return the instant in a prediction's id, a UUID of version 7, in milliseconds. */
const createdAt = (id) => parseInt(id.replaceAll("-", "").slice(0, 12), 16);

const pageOf = ({ results, next }) => ({ results, cursor: next && new URL(next).searchParams.get("cursor") });

/** A page that ends for what it has read, and not for what it has found. */
const isSearch = ({ results, next, cursor = next }) => cursor !== null && results.length < NEWEST;

const interval = (data) => (data && isSearch(data) ? SEARCH_EVERY_MS : EVERY_MS);

/**
 * Return the state with the newest page in it. `since`: when the one before it was read, in milliseconds: a page that looked
 * at all that is newer than that, and found few or nothing, leaves no hole above what is there.
 */
export function merged(before, page, hold) {
  const ids = (list) => new Set(list.map(({ id }) => id));
  const known = ids(before.rows);
  const reaches = isSearch(page) && createdAt(page.cursor) < page.since - MARGIN_MS;
  const overlaps = reaches || page.results.some(({ id }) => known.has(id));
  const newer = page.results.filter(({ id }) => !known.has(id));
  const fresh = new Map(page.results.map((one) => [one.id, one]));
  const rows = before.rows.map((one) => changed(one, fresh.get(one.id)));
  const settled = { ...before, read: true };
  if (before.rows.length === 0 && !reaches) return anew(settled, page.results, page.cursor);
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
