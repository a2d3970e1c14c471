// Stylesheets that are loaded with what needs them.

/** Add a stylesheet to the page, once, and return when it counts; where it can't be had, the page goes without. */
export function loadStylesheet(url) {
  const { href } = new URL(url);
  if ([...document.styleSheets].some((sheet) => sheet.href === href)) return Promise.resolve();
  return new Promise((resolve) => {
    const link = document.createElement("link");
    link.rel = "stylesheet";
    link.href = href;
    link.onload = link.onerror = resolve;
    document.head.append(link);
  });
}

/** Let a stylesheet that was added count, or not; by its media, since a disabled one would be fetched again. */
export function switchStylesheet(url, counts) {
  const { href } = new URL(url);
  const link = [...document.head.querySelectorAll("link[rel=stylesheet]")].find((one) => one.href === href);
  if (link) link.media = counts ? "all" : "not all";
}
