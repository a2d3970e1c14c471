// Asks for an API key where the API wants one.
import { get } from "../lib/api.js";
import { html, useEffect, useRef, useState } from "../lib/preact.js";
import { account, asksForKey, keepKey, signOut } from "../lib/session.js";
import { CodeBlock } from "./code-block.js";
import { FIRST_KEY } from "./commands.js";
import { InAClone } from "./notices.js";

/** `refusal`: the API's words about the key before, "" for none. */
export function SignIn({ refusal }) {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState("");
  const field = useRef(null);
  useEffect(() => field.current.focus(), []);
  async function onSubmit(event) {
    event.preventDefault();
    setBusy(true);
    setFailure("");
    const key = new FormData(event.target).get("key").trim();
    // A browser refuses to send any other, as if the API could not be reached.
    if (!/^[\x21-\x7e]+$/.test(key)) {
      setFailure("That is not a key: it has characters that no key has. A key begins with dk_.");
      setBusy(false);
      return;
    }
    keepKey(key);
    try {
      account.value = await get("v1/account");
      asksForKey.value = null;
      // Of the page that has taken the place of this one.
      setTimeout(() => document.getElementById("main")?.focus());
    } catch (error) {
      const words = error.message;
      signOut();
      setFailure(words);
      setBusy(false);
      field.current?.select();
    }
  }
  const words = failure || refusal;
  return html`<main class="sign-in">
    <img src=${new URL("../icon.svg", import.meta.url)} alt="" width="48" height="48" />
    <h1>Darkroom</h1>
    <form onSubmit=${onSubmit}>
      <label for="key">Your API key</label>
      <input ref=${field} id="key" name="key" type="password" required autocomplete="current-password" spellcheck=${false}
        placeholder="dk_…" aria-describedby="key-help key-words" aria-invalid=${words ? "true" : undefined} />
      <p id="key-words" role="alert" class="bad">${words}</p>
      <p id="key-help" class="soft">It stays in this tab, and is forgotten when you close it.</p>
      <button type="submit" class="button button-main" disabled=${busy}>${busy ? "Signing in…" : "Sign in"}</button>
    </form>
    <details>
      <summary>I have no key</summary>
      <p>Whoever runs the service makes one:</p>
      <${CodeBlock} code=${FIRST_KEY} label="the command that makes a key" />
      <${InAClone} />
    </details>
  </main>`;
}
