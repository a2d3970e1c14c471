// Requests to the API, with the key, and its errors. Every number on every page comes through here.
import { apiKey, asksForKey } from "./session.js";
import { signal } from "./signal.js";

/** The page's own address: the API's, also behind a path of a proxy. */
export const BASE = new URL(".", document.baseURI);

/** "up", or "lost" while the API can't be reached; `request` notices both. */
export const connection = signal("up");

/** Between two questions whether a lost API is back: doubled from the first to the most. */
const [FIRST_PROBE_MS, MOST_PROBE_MS] = [500, 8000];
/** What a proxy answers in place of an API that is away. */
const GATEWAY_ERRORS = [502, 503, 504];

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
  if (GATEWAY_ERRORS.includes(answer.status) && !isJson(answer)) {
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

/** Return what `read()` returns, called again each time that a lost API is back. */
export async function untilReached(read) {
  for (;;) {
    await whenUp();
    try {
      return await read();
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
    }
  }
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

const isJson = (answer) => /[/+]json\b/.test(answer.headers.get("Content-Type") ?? "");

/** Return once the API can be reached. */
function whenUp() {
  if (connection.value === "up") return Promise.resolve();
  return new Promise((resolve) => {
    const unfollow = connection.follow((now) => now === "up" && (unfollow(), resolve()));
  });
}

/** Say that the API can't be reached, and ask until it can. */
export function loseConnection() {
  if (connection.value === "lost") return;
  connection.value = "lost";
  probe();
}

let doubting = false;

/** Ask once whether the API can be reached, after something else has failed, as a stream that was cut off. */
export async function doubtConnection() {
  if (doubting || connection.value === "lost") return;
  doubting = true;
  if (!(await isUp())) loseConnection();
  doubting = false;
}

async function probe() {
  for (let wait = FIRST_PROBE_MS; connection.value === "lost"; wait = Math.min(2 * wait, MOST_PROBE_MS)) {
    // By chance up to a quarter sooner: the pages of many people do not ask at the same moment.
    await new Promise((resolve) => setTimeout(resolve, wait * (1 - Math.random() / 4)));
    if (await isUp()) connection.value = "up";
  }
}

async function isUp() {
  try {
    return (await fetch(address("health/live"), { cache: "no-store" })).ok;
  } catch {
    return false;
  }
}
