// Preact with htm: components are functions, markup is html`…` in plain JavaScript, without a build.
import { h } from "../vendor/preact.js";
import htm from "../vendor/htm.js";

export { createContext, Fragment, render } from "../vendor/preact.js";
export {
  useCallback, useContext, useEffect, useId, useLayoutEffect, useMemo, useReducer, useRef, useState,
} from "../vendor/preact-hooks.js";
export const html = htm.bind(h);
