// Notices a script or stylesheet of the console that can't be loaded while it starts, and has index.html say so; of files that
// take long style/shell.css has it say so. No module: it runs before they are asked for, and needs none of them.
function onFailure({ target }) {
  if (target.tagName === "SCRIPT" || target.rel === "stylesheet") document.documentElement.dataset.start = "failed";
}

addEventListener("error", onFailure, true);
addEventListener("load", () => removeEventListener("error", onFailure, true));
// As its link, but the page of the console stays: that is behind the hash.
addEventListener("click", (event) => {
  if (event.target.id !== "start-again") return;
  event.preventDefault();
  location.reload();
});
