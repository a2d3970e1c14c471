// Preact with htm: components are functions, markup is html`…` in plain JavaScript, without a build.
import { h } from "../vendor/preact.js";
import htm from "../vendor/htm.js";
import { followed, shown } from "./shown.js";

export { createContext, Fragment, render } from "../vendor/preact.js";
export {
  useCallback, useContext, useEffect, useErrorBoundary, useId, useLayoutEffect, useMemo, useReducer, useRef, useState,
} from "../vendor/preact-hooks.js";

const READ = ["title", "alt", "aria-label", "placeholder"];

const seen = (child) => (typeof child === "string" ? shown(child) : Array.isArray(child) ? child.map(seen) : child);

/** Make an element as `h` does: what is read of it goes through `shown`, where it leads through `followed`. */
function element(type, props, ...children) {
  if (typeof type === "string" && props) {
    for (const name of READ) if (typeof props[name] === "string") props[name] = shown(props[name]);
    if (props.href !== undefined) props.href = followed(props.href);
  }
  return h(type, props, ...children.map(seen));
}

export const html = htm.bind(element);
