// Requests to the API, with the key, and its errors. Every number on every page comes through here.
import { apiKey, asksForKey } from "./session.js";
import { signal } from "./signal.js";

/** The page's own address: the API's, also behind a path of a proxy. */
export const BASE = new URL(".", document.baseURI);

/** "up", or "lost" while the API can't be reached; `request` notices both. */
export const connection = signal("up");

const PROBE_MS = 1500;

/** A problem of the API: `message` is its own words, `problem` its RFC 9457 body. */
export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail ?? problem.title ?? `HTTP ${status}`);
    this.status = status;
    this.problem = problem;
  }
}

/** The API can't be reached. */
export class Unreachable extends Error {
  constructor() {
    super("The API can’t be reached.");
  }
}

/** Return an address of the API: `path` begins without a slash; `query` leaves out empty values, repeats arrays. */
export function address(path, query = {}) {
  // Browsers resolve these parts, and would ask for something else than the page means.
  if (/(^|\/)\.{1,2}(\/|$)/.test(path)) throw new ApiError(404, { title: "Not found", detail: `There is no ${path}` });
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null && one !== "") url.searchParams.append(name, one);
    }
  }
  return url;
}

/**
 * Ask the API and return its `Response`. `json`: an object to send; `body`: anything fetch takes.
 * Throws ApiError, Unreachable, or AbortError where `signal` aborts.
 */
export async function request(method, path, { query, json, body, headers = {}, signal: aborts } = {}) {
  const key = apiKey();
  const sent = { Accept: "application/json", ...headers };
  if (key) sent.Authorization = `Bearer ${key}`;
  if (json !== undefined) {
    sent["Content-Type"] = "application/json";
    body = JSON.stringify(json);
  }
  const url = address(path, query);
  let answer;
  try {
    answer = await fetch(url, { method, headers: sent, body, signal: aborts, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    loseConnection();
    throw new Unreachable();
  }
  connection.value = "up";
  if (answer.ok) return answer;
  const failure = new ApiError(answer.status, await problemOf(answer));
  if (answer.status === 401) asksForKey.value = key ? failure.message : "";
  throw failure;
}

/** GET and return the answer's JSON. */
export async function get(path, query, options) {
  return (await request("GET", path, { query, ...options })).json();
}

/** POST `json` and return the answer's JSON; null where the answer has none. */
export async function post(path, json, options) {
  const answer = await request("POST", path, { json, ...options });
  return answer.status === 204 ? null : answer.json();
}

/** Fetch a file with the key and return its Blob: an <img> or a link can't send one. */
export async function blob(path, query) {
  return (await request("GET", path, { query, headers: { Accept: "*/*" } })).blob();
}

/** Save what an address of the API answers as a file, with the key. */
export async function download(path, query, name) {
  const url = URL.createObjectURL(await blob(path, query));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** Return an absolute address of the API as a path for `request`. */
export function pathOf(url) {
  const { pathname, search } = new URL(url, BASE);
  const own = BASE.pathname;
  return (pathname.startsWith(own) ? pathname.slice(own.length) : pathname.slice(1)) + search;
}

async function problemOf(answer) {
  try {
    return await answer.json();
  } catch {
    return { title: `HTTP ${answer.status}` };
  }
}

/** Say that the API can't be reached, and ask until it can. */
export function loseConnection() {
  if (connection.value === "lost") return;
  connection.value = "lost";
  probe();
}

async function probe() {
  while (connection.value === "lost") {
    await new Promise((resolve) => setTimeout(resolve, PROBE_MS));
    try {
      const answer = await fetch(address("health/live"), { cache: "no-store" });
      if (answer.ok) connection.value = "up";
    } catch {
      // Still away; asked again.
    }
  }
}
