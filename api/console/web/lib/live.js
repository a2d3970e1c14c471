// Data that stays fresh without reloading the page.
import { connection, request } from "./api.js";
import { useCallback, useEffect, useRef, useState } from "./preact.js";

/**
 * Return `{data, error, loading, refresh, before}` of a GET that is repeated `every` milliseconds (a number, or a function of
 * the last data) while the page is visible and the API can be reached, and at once when either is so again. `path` null:
 * nothing is asked; `every` 0: only once, and on `refresh()`, which asks again after a question that is on its way.
 * `before.current`: when the answer before the last one was given, in milliseconds by the API's clock, NaN for none.
 * What is shown stays shown while the next answer is on its way, or fails; an answer that says the same draws nothing. A
 * lost connection is no `error`: the frame says it, and what was asked is asked again by itself.
 */
export function useLive(path, query = {}, { every = 5000 } = {}) {
  const [state, setState] = useState({ data: null, error: null, loading: path !== null });
  const asked = path === null ? null : JSON.stringify([path, query]);
  const again = useRef(() => {});
  const before = useRef(NaN);
  const interval = useRef(every);
  interval.current = every;
  useEffect(() => {
    if (asked === null) {
      setState({ data: null, error: null, loading: false });
      return undefined;
    }
    const stop = new AbortController();
    let timer = 0;
    let running = false;
    let stale = false;
    let last = null;
    let answered = NaN;
    before.current = NaN;
    let data = null;
    setState({ data: null, error: null, loading: true });
    async function ask() {
      if (running || stop.signal.aborted) return;
      running = true;
      clearTimeout(timer);
      try {
        const answer = await request("GET", path, { query, signal: stop.signal });
        const text = await answer.text();
        before.current = answered;
        answered = Date.parse(answer.headers.get("Date"));
        if (text !== last) {
          data = JSON.parse(text);
          last = text;
          setState({ data, error: null, loading: false });
        }
      } catch (error) {
        if (error.name !== "AbortError" && connection.value === "up") {
          last = null;
          setState((shown) => ({ ...shown, error, loading: false }));
        }
      }
      running = false;
      if (stale) {
        stale = false;
        ask();
        return;
      }
      const wait = typeof interval.current === "function" ? interval.current(data) : interval.current;
      if (wait > 0 && !stop.signal.aborted && !document.hidden && connection.value === "up") timer = setTimeout(ask, wait);
    }
    // What is on its way may have been answered before what the caller has just done.
    again.current = () => (running ? (stale = true) : ask());
    const onVisible = () => document.hidden || ask();
    document.addEventListener("visibilitychange", onVisible);
    const unfollow = connection.follow((now) => (now === "up" ? ask() : clearTimeout(timer)));
    ask();
    return () => {
      stop.abort();
      clearTimeout(timer);
      unfollow();
      document.removeEventListener("visibilitychange", onVisible);
    };
  }, [asked]);
  return { ...state, before, refresh: useCallback(() => again.current(), []) };
}

const followers = new Set();
let clock = 0;

/** Call `follower` each second while the page is visible; returns the function that ends it. One timer serves all. */
export function everySecond(follower) {
  followers.add(follower);
  clock ||= setInterval(() => document.hidden || followers.forEach((one) => one()), 1000);
  return () => {
    followers.delete(follower);
    if (followers.size > 0) return;
    clearInterval(clock);
    clock = 0;
  };
}
