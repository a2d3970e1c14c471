// Uploads that tell how far they are, which fetch can't: the same key, errors and lost connection as `request`.
import { address, ApiError, loseConnection, Unreachable, connection } from "./api.js";
import { apiKey, asksForKey } from "./session.js";

/**
 * POST a form and return the answer's JSON. `onProgress(share)`: 0 to 1 of the bytes sent; `headers`: more of them;
 * `signal` aborts it. Throws ApiError, whose `retryAfter` is in seconds or null, Unreachable, or AbortError.
 */
export function upload(path, form, { onProgress, headers = {}, signal } = {}) {
  return new Promise((resolve, reject) => {
    const sent = new XMLHttpRequest();
    sent.open("POST", address(path));
    sent.responseType = "json";
    const key = apiKey();
    const all = { Accept: "application/json", ...headers, ...(key && { Authorization: `Bearer ${key}` }) };
    for (const [name, value] of Object.entries(all)) sent.setRequestHeader(name, value);
    sent.upload.onprogress = (event) => event.lengthComputable && onProgress?.(event.loaded / event.total);
    sent.onload = () => {
      if (sent.response === null && sent.status >= 502) {
        sent.onerror();
        return;
      }
      connection.value = "up";
      if (sent.status < 300) {
        resolve(sent.response);
        return;
      }
      const failure = new ApiError(sent.status, sent.response ?? { title: `HTTP ${sent.status}` });
      const seconds = Number(sent.getResponseHeader("Retry-After"));
      failure.retryAfter = seconds > 0 ? seconds : null;
      if (sent.status === 401) asksForKey.value = key ? failure.message : "";
      reject(failure);
    };
    sent.onerror = () => {
      loseConnection();
      reject(new Unreachable());
    };
    sent.onabort = () => reject(new DOMException("stopped", "AbortError"));
    signal?.addEventListener("abort", () => sent.abort());
    sent.send(form);
  });
}
