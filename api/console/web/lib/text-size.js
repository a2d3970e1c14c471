// The page's text size, for what CSS does not draw or place: canvases, rows at a distance from the top.
import { signal } from "./signal.js";

const read = () => parseFloat(getComputedStyle(document.documentElement).fontSize);

/** Pixels of one rem: style/shell.css has them grow with the window. */
export const textSize = signal(read());
addEventListener("resize", () => (textSize.value = read()));
