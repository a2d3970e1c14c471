// Data that stays fresh without reloading the page.
import { connection, request } from "./api.js";
import { useCallback, useEffect, useRef, useState } from "./preact.js";

/**
 * Return `{data, error, loading, refresh}` of a GET that is repeated `every` milliseconds (a number, or a function of the
 * last data) while the page is visible and the API can be reached, and at once when either is so again. `path` null:
 * nothing is asked; `every` 0: only once, and on `refresh()`.
 * What is shown stays shown while the next answer is on its way, or fails; an answer that says the same draws nothing. A
 * lost connection is no `error`: the frame says it, and what was asked is asked again by itself.
 */
export function useLive(path, query = {}, { every = 5000 } = {}) {
  const [state, setState] = useState({ data: null, error: null, loading: path !== null });
  const asked = path === null ? null : JSON.stringify([path, query]);
  const again = useRef(() => {});
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
    let last = null;
    let data = null;
    setState({ data: null, error: null, loading: true });
    async function ask() {
      if (running || stop.signal.aborted) return;
      running = true;
      clearTimeout(timer);
      try {
        const text = await (await request("GET", path, { query, signal: stop.signal })).text();
        if (text !== last) {
          data = JSON.parse(text);
          last = text;
          setState({ data, error: null, loading: false });
        }
      } catch (error) {
        if (error.name !== "AbortError" && connection.value === "up") {
          last = null;
          setState((before) => ({ ...before, error, loading: false }));
        }
      }
      running = false;
      const wait = typeof interval.current === "function" ? interval.current(data) : interval.current;
      if (wait > 0 && !stop.signal.aborted && !document.hidden && connection.value === "up") timer = setTimeout(ask, wait);
    }
    again.current = ask;
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
  return { ...state, refresh: useCallback(() => again.current(), []) };
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
