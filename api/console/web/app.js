// Starts the console: asks who the caller is, draws the frame, and loads the page that the address names.
import { connection, doubtConnection, get } from "./lib/api.js";
import { html, render, useEffect, useErrorBoundary, useRef, useState } from "./lib/preact.js";
import { useRoute } from "./lib/router.js";
import { account, asksForKey } from "./lib/session.js";
import { useSignal } from "./lib/signal.js";
import { applyTheme } from "./lib/theme.js";
import { Frame } from "./parts/frame.js";
import { ErrorNotice, Loading } from "./parts/notices.js";
import { SignIn } from "./parts/sign-in.js";
import { PAGES, loadPage, usePageStyle } from "./pages.js";

function Console() {
  const caller = useSignal(account);
  const asked = useSignal(asksForKey);
  const back = useSignal(connection);
  const [error, setError] = useState(null);
  useEffect(() => {
    if (caller !== null || asked !== null) return;
    setError(null);
    get("v1/account").then((found) => (account.value = found), setError);
  }, [caller, asked, back]);
  if (asked !== null) return html`<${SignIn} refusal=${asked} />`;
  if (caller === null && error && error.status !== 401) return html`<main class="page"><${ErrorNotice} error=${error} /></main>`;
  if (caller === null) return html`<${Loading} what="Loading the console…" />`;
  return html`<${Frame}><${Page} /><//>`;
}

function Page() {
  const route = useRoute();
  const page = PAGES.find(({ name }) => name === route.page);
  const back = useSignal(connection);
  const [loaded, setLoaded] = useState({ name: null, View: null, error: null });
  useEffect(() => {
    document.title = page ? `${page.title} · Darkroom` : "Darkroom";
    // Files that a lost connection kept away are asked for again when it is back.
    if (!page || back === "lost" || (loaded.name === page.name && !loaded.error)) return;
    loadPage(page.name).then(
      (View) => setLoaded({ name: page.name, View, error: null }),
      () => {
        setLoaded({ name: page.name, View: null, error: new Error("This page’s files could not be loaded.") });
        doubtConnection();
      },
    );
  }, [page, back, loaded.name]);
  usePageStyle(loaded.name);
  if (!page) return html`<h1>No such page</h1><p><a href="#/try">Go to the first page</a></p>`;
  if (loaded.name !== page.name) return html`<${Loading} />`;
  if (loaded.error) return html`<${ErrorNotice} error=${loaded.error} onRetry=${() => location.reload()} />`;
  return html`<${Guarded} key=${page.name} View=${loaded.View} route=${route} />`;
}

/** Draws a page; where that fails, says so in its place until the address is another: the navigation stays. */
function Guarded({ View, route }) {
  const [failure, reset] = useErrorBoundary((error) => console.error(error));
  const drawn = useRef(route);
  if (!failure) drawn.current = route;
  useEffect(() => {
    if (failure && drawn.current !== route) reset();
  }, [route]);
  if (!failure) return html`<${View} route=${route} />`;
  return html`<h1>This page can’t be drawn</h1>
    <${ErrorNotice} error=${new Error(`It met something that it does not know: ${failure.message}`)} onRetry=${() => location.reload()} />`;
}

applyTheme();
render(html`<${Console} />`, document.getElementById("app"));
