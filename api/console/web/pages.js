// The console's pages, in the order of the navigation.
import { useLayoutEffect } from "./lib/preact.js";
import { loadStylesheet, switchStylesheet } from "./lib/stylesheet.js";

/** `role`: the least role that sees it; `first`: whether a phone has it in its bar, else it is under “More”. */
export const PAGES = [
  { name: "try", title: "Try", role: "submit", first: true },
  { name: "predictions", title: "Predictions", role: "read", first: true },
  { name: "batches", title: "Batches", role: "read", first: true },
  { name: "models", title: "Models", role: "read", first: true },
  { name: "now", title: "Now", role: "admin", first: true },
  { name: "webhooks", title: "Webhooks", role: "read", first: false },
  { name: "keys", title: "Keys", role: "admin", first: false },
];

const styleOf = (name) => new URL(`style/pages/${name}.css`, import.meta.url);

/** Load a page's files when it is first opened; returns its `View({route})`, which its module exports. */
export async function loadPage(name) {
  const [module] = await Promise.all([import(`./pages/${name}.js`), loadStylesheet(styleOf(name))]);
  return module.View;
}

/** Let the style of this page count, and that of no page that was shown before. */
export function usePageStyle(name) {
  useLayoutEffect(() => {
    for (const { name: other } of PAGES) switchStylesheet(styleOf(other), other === name);
  }, [name]);
}
