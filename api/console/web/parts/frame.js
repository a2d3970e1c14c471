// What stands around every page: navigation, who is signed in, links to the other pages of the service, a lost connection.
import { BASE, connection } from "../lib/api.js";
import { html, useEffect, useRef, useState } from "../lib/preact.js";
import { to, useRoute } from "../lib/router.js";
import { account, apiKey, may, signOut } from "../lib/session.js";
import { useSignal } from "../lib/signal.js";
import { nextTheme, theme } from "../lib/theme.js";
import { PAGES } from "../pages.js";
import { Icon } from "./icon.js";
import { Toasts } from "./toasts.js";

export function Frame({ children }) {
  const { page } = useRoute();
  const [open, setOpen] = useState(false);
  const main = useRef(null);
  const first = useRef(true);
  useEffect(() => {
    setOpen(false);
    // A new page begins at its top, and screen readers read from there.
    if (!first.current) main.current.focus({ preventScroll: false });
    first.current = false;
    scrollTo(0, 0);
  }, [page]);
  const seen = PAGES.filter(({ role }) => may(role));
  return html`<div class="frame">
    <a class="skip" href="#main" onClick=${(event) => (event.preventDefault(), main.current.focus())}>Skip to the page</a>
    <aside class="side">
      <a class="brand" href="#/try"><img src=${new URL("../icon.svg", import.meta.url)} alt="" width="28" height="28" />Darkroom</a>
      <nav aria-label="Pages" class="nav">
        ${seen.map((one) => html`<${NavLink} key=${one.name} ...${one} here=${page === one.name} rest=${!one.first} />`)}
        <button type="button" class="nav-link nav-more" aria-expanded=${open ? "true" : "false"} aria-controls="more"
          onClick=${() => setOpen(!open)}><${Icon} name="more" size=${20} /><span>More</span></button>
      </nav>
      <div id="more" class=${`side-rest${open ? " side-rest-open" : ""}`}>
        <nav aria-label="More pages" class="nav-rest">
          ${seen.filter((one) => !one.first).map((one) => html`<${NavLink} key=${one.name} ...${one} here=${page === one.name} />`)}
        </nav>
        <${Elsewhere} />
        <${Who} />
      </div>
    </aside>
    <main id="main" class="page" ref=${main} tabindex="-1">
      <${LostConnection} />
      ${children}
    </main>
    <${Toasts} />
  </div>`;
}

function NavLink({ name, title, here, rest }) {
  return html`<a class=${`nav-link${rest ? " nav-link-rest" : ""}`} href=${to(name)} aria-current=${here ? "page" : undefined}>
    <${Icon} name=${name} size=${20} /><span>${title}</span>
  </a>`;
}

/** Links to MLflow, Flower, Grafana as the API says where they are, and to the API's own pages. */
function Elsewhere() {
  const { links = {} } = useSignal(account);
  const names = { mlflow: "MLflow", flower: "Flower", grafana: "Grafana", docs: "Guides" };
  const found = Object.entries(names).filter(([name]) => links[name]);
  return html`<ul class="elsewhere" aria-label="Elsewhere">
    ${found.map(([name, title]) => html`<li key=${name}><${OutLink} href=${links[name]} title=${title} /></li>`)}
    <li><${OutLink} href=${new URL("docs", BASE).href} title="API pages" /></li>
  </ul>`;
}

const OutLink = ({ href, title }) =>
  html`<a href=${href} target="_blank" rel="noopener">${title} <${Icon} name="external" size=${13} /></a>`;

function Who() {
  const caller = useSignal(account);
  const shown = useSignal(theme);
  return html`<div class="who">
    <p class="who-name">${apiKey() ? html`<strong>${caller.username}</strong> <span class="soft">${caller.role}</span>` : html`<span class="soft">No key needed here</span>`}</p>
    <button type="button" class="button button-quiet button-small" onClick=${nextTheme} aria-label=${`Colours: ${shown}. Change`}>
      <${Icon} name=${shown} size=${16} />
    </button>
    ${apiKey() && html`<button type="button" class="button button-quiet button-small" onClick=${signOut}><${Icon} name="out" size=${16} />Sign out</button>`}
  </div>`;
}

function LostConnection() {
  const lost = useSignal(connection) === "lost";
  return html`<div class="lost-place" role="status" aria-live="assertive">
    ${lost && html`<p class="notice notice-bad lost"><${Icon} name="warning" />The connection to the API is lost. What you see is as it was; it goes on by itself when the API is back.</p>`}
  </div>`;
}
