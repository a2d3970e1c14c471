// Light, dark, or as the system has it; kept in this browser.
import { signal } from "./signal.js";

const KEPT = "darkroom.theme";
const ORDER = ["system", "light", "dark"];

export const theme = signal(localStorage.getItem(KEPT) ?? "system");

export function applyTheme() {
  if (theme.value === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
}

export function nextTheme() {
  theme.value = ORDER[(ORDER.indexOf(theme.value) + 1) % ORDER.length];
  localStorage.setItem(KEPT, theme.value);
  applyTheme();
}
