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
