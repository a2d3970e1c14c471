// Data that stays fresh without reloading the page.
import { connection, request } from "./api.js";
import { useCallback, useEffect, useRef, useState } from "./preact.js";

/**
 * Return `{data, error, loading, refresh}` of a GET that is repeated `every` milliseconds while the page is visible, at
 * once when it becomes visible again and when a lost connection is back. `path` null: nothing is asked.
 * What is shown stays shown while the next answer is on its way, or fails. `every` 0: only once, and on `refresh()`.
 */
export function useLive(path, query = {}, { every = 5000 } = {}) {
  const [state, setState] = useState({ data: null, error: null, loading: path !== null });
  const asked = path === null ? null : JSON.stringify([path, query]);
  const again = useRef(() => {});
  useEffect(() => {
    if (asked === null) {
      setState({ data: null, error: null, loading: false });
      return undefined;
    }
    const stop = new AbortController();
    let timer = 0;
    let running = false;
    setState({ data: null, error: null, loading: true });
    async function ask() {
      if (running || stop.signal.aborted) return;
      running = true;
      clearTimeout(timer);
      try {
        const data = await (await request("GET", path, { query, signal: stop.signal })).json();
        setState({ data, error: null, loading: false });
      } catch (error) {
        if (error.name !== "AbortError") setState((before) => ({ ...before, error, loading: false }));
      }
      running = false;
      if (every > 0 && !stop.signal.aborted && !document.hidden) timer = setTimeout(ask, every);
    }
    again.current = ask;
    const onVisible = () => document.hidden || ask();
    document.addEventListener("visibilitychange", onVisible);
    const unfollow = connection.follow((now) => now === "up" && ask());
    ask();
    return () => {
      stop.abort();
      clearTimeout(timer);
      unfollow();
      document.removeEventListener("visibilitychange", onVisible);
    };
  }, [asked, every]);
  return { ...state, refresh: useCallback(() => again.current(), []) };
}

/** Return the time, anew every `every` milliseconds: for “3 s ago”. */
export function useNow(every = 1000) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => document.hidden || setNow(Date.now()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}
