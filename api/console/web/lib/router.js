// Addresses of the console's pages: `#/predictions/ID?status=failed`, behind the hash, so that any proxy passes them on.
import { signal, useSignal } from "./signal.js";

function read() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [page = "", ...rest] = path.split("/").map(decoded);
  return { page: page || "try", rest, query: Object.fromEntries(new URLSearchParams(query)) };
}

/** Return a part of the address; as it stands where it is not encoded as one, such as `100%`. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

const route = signal(read());
addEventListener("hashchange", () => (route.value = read()));

/** Return `{page, rest, query}`: `#/models/digits?a=1` is `{page: "models", rest: ["digits"], query: {a: "1"}}`. */
export function useRoute() {
  return useSignal(route);
}

/** Return the address of a page, to be used as a link's href; empty values of the query are left out. */
export function to(page, rest = [], query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const search = new URLSearchParams(given).toString();
  return `#/${[page, ...rest].map(encodeURIComponent).join("/")}${search ? `?${search}` : ""}`;
}

/** Go to a page. `replace`: without a step in the browser's history, as for each letter typed into a filter. */
export function go(href, { replace = false } = {}) {
  if (!replace) {
    location.hash = href;
    return;
  }
  history.replaceState(null, "", href);
  route.value = read();
}
