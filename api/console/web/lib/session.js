// Who uses the console: the API key, kept in this tab's session storage alone, and what GET /v1/account says of it.
import { kept } from "./kept.js";
import { signal } from "./signal.js";

const key = kept(() => sessionStorage, "darkroom.key");

/** What the API says of the caller; null until it has answered, or where it wants a key. */
export const account = signal(null);
/** Why the console asks for a key: null (it does not), "" (no key yet), or the API's words about the one it got. */
export const asksForKey = signal(null);

export function apiKey() {
  return key.read() ?? "";
}

export function keepKey(given) {
  key.keep(given);
}

export function signOut() {
  key.forget();
  account.value = null;
  asksForKey.value = "";
}

const RANKS = { read: 0, submit: 1, admin: 2 };

/** Tell whether the caller's role includes `role`. */
export function may(role) {
  return (RANKS[account.value?.role] ?? -1) >= RANKS[role];
}
