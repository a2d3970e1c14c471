// Draws ```mermaid blocks. Mermaid (2.5 MB, in this folder) is loaded only by a page that has one.
(() => {
  const diagrams = document.querySelectorAll("pre.diagram");
  if (diagrams.length === 0) return;
  const library = document.createElement("script");
  library.src = new URL("mermaid.tiny.js", document.currentScript.src).href;
  library.onload = () => {
    for (const diagram of diagrams) diagram.textContent = diagram.textContent; // without the <code> inside
    const dark = document.body.dataset.mdColorScheme === "slate";
    mermaid.initialize({ startOnLoad: false, theme: dark ? "dark" : "neutral" });
    mermaid.run({ nodes: diagrams });
  };
  document.head.append(library);
})();
