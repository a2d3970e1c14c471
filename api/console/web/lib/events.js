// Server-sent events of a prediction or a batch, from its own `urls.stream`, which carries its token.
import { address, doubtConnection, pathOf } from "./api.js";

/**
 * Follow a stream: `on(type, data)` for each event of the types, until one of `last` came or `stop()`, which is
 * returned, is called. The browser reconnects by itself and says which event it had last; where it gives up, as after
 * any answer but a 200, `onGone()` is called.
 */
export function follow(url, { types, last, on, onGone }) {
  const source = new EventSource(address(pathOf(url)));
  source.onerror = () => (source.readyState === EventSource.CLOSED ? onGone?.() : doubtConnection());
  for (const type of types) {
    source.addEventListener(type, (event) => {
      // The browser's own errors have no data; the API's events named `error` have.
      if (event.data === undefined) return;
      on(type, event.data);
      if (last.includes(type)) source.close();
    });
  }
  return () => source.close();
}
