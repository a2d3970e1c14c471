// Who uses the console: the API key, kept in this tab's session storage alone, and what GET /v1/account says of it.
import { signal } from "./signal.js";

const KEY = "darkroom.key";

/** What the API says of the caller; null until it has answered, or where it wants a key. */
export const account = signal(null);
/** Why the console asks for a key: null (it does not), "" (no key yet), or the API's words about the one it got. */
export const asksForKey = signal(null);

export function apiKey() {
  return sessionStorage.getItem(KEY) ?? "";
}

export function keepKey(key) {
  sessionStorage.setItem(KEY, key);
}

export function signOut() {
  sessionStorage.removeItem(KEY);
  account.value = null;
  asksForKey.value = "";
}

const RANKS = { read: 0, submit: 1, admin: 2 };

/** Tell whether the caller's role includes `role`. */
export function may(role) {
  return (RANKS[account.value?.role] ?? -1) >= RANKS[role];
}
