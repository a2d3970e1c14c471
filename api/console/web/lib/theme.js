// Light, dark, or as the system has it; kept in this browser.
import { kept } from "./kept.js";
import { signal } from "./signal.js";

const choice = kept(() => localStorage, "darkroom.theme");
const ORDER = ["system", "light", "dark"];
/** When style/dark.css counts. */
const DARK_MEDIA = { system: "(prefers-color-scheme: dark)", light: "not all", dark: "all" };

const chosen = choice.read();
export const theme = signal(ORDER.includes(chosen) ? chosen : "system");

const darkSystem = matchMedia(DARK_MEDIA.system);
/** Whether the system is dark, which "system" follows while the page is open. */
export const systemIsDark = signal(darkSystem.matches);
darkSystem.addEventListener("change", ({ matches }) => (systemIsDark.value = matches));

export function applyTheme() {
  document.getElementById("dark").media = DARK_MEDIA[theme.value];
  if (theme.value === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
}

export function nextTheme() {
  theme.value = ORDER[(ORDER.indexOf(theme.value) + 1) % ORDER.length];
  choice.keep(theme.value);
  applyTheme();
}
