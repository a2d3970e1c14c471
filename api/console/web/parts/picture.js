// A picture with what a model found in it: boxes as elements over it, a mask as a canvas over it.
import { html, useEffect, useRef, useState } from "../lib/preact.js";
import { maskFile, paintMask, readMask } from "./output/mask.js";

const MOST_TAGS = 24;
const TONES = 5;
/** Pictures of fewer pixels on a side are drawn with sharp pixels. */
const SMALL = 64;

/** Return the tone, 1 to 5, of each label of detections, in the order in which they first come. */
export function labelTones(detections) {
  const tones = new Map();
  for (const { label } of detections) if (!tones.has(label)) tones.set(label, (tones.size % TONES) + 1);
  return tones;
}

/**
 * `src`: the picture's address, null where it is not at hand: then what was found is drawn on an empty ground of the same
 * shape. `size`: `[width, height]` in pixels, upright. `boxes`: `[{label, score, box}]` of which `chosen` (an index) is
 * raised; `missing`: why there is no picture, drawn in its place; `mask`: `{width, height, indices}` without the classes in `hidden`; `alt`: for screen readers.
 */
export function Picture({ src, size, alt, missing, boxes = [], tones, chosen = -1, mask = null, hidden, onChoose }) {
  const [width, height] = size ?? [4, 3];
  const canvas = useRef(null);
  useEffect(() => {
    if (mask) paintMask(canvas.current, mask, hidden);
  }, [mask, hidden]);
  const small = Math.max(width, height) <= SMALL;
  const shape = { aspectRatio: `${width} / ${height}`, "--shape": width / height };
  return html`<div class=${`picture${src ? "" : " picture-bare"}${small ? " picture-small" : ""}`} style=${shape}>
    ${src && html`<img src=${src} alt=${alt} draggable=${false} />`}
    ${!src && html`<span class="visually-hidden">${alt}</span>`}
    ${!src && missing && !mask && boxes.length === 0 && html`<span class="picture-words">${missing}</span>`}
    ${mask && html`<canvas ref=${canvas} class="picture-mask" aria-hidden="true"></canvas>`}
    ${boxes.map(
      ({ label, score, box: [left, top, right, bottom], index }, place) => html`<div key=${index} aria-hidden="true"
        class=${`picture-box tone-${tones.get(label)}${index === chosen ? " picture-box-chosen" : ""}`}
        style=${{
          left: `${(100 * left) / width}%`,
          top: `${(100 * top) / height}%`,
          width: `${(100 * (right - left)) / width}%`,
          height: `${(100 * (bottom - top)) / height}%`,
        }}
        onPointerEnter=${() => onChoose?.(index)} onPointerLeave=${() => onChoose?.(-1)}>
        ${(place < MOST_TAGS || index === chosen) &&
        html`<span class=${`picture-tag${top / height < 0.08 ? " picture-tag-inside" : ""}`}>${label} ${Math.round(score * 100)}</span>`}
      </div>`,
    )}
  </div>`;
}

/** A part of a picture: `box` in pixels of the picture, whose `size` is `[width, height]`. */
export function Crop({ src, size: [width, height], box: [left, top, right, bottom], alt }) {
  const [wide, high] = [Math.max(1, right - left), Math.max(1, bottom - top)];
  const place = {
    width: `${(100 * width) / wide}%`,
    height: `${(100 * height) / high}%`,
    left: `${(-100 * left) / wide}%`,
    top: `${(-100 * top) / high}%`,
  };
  return html`<div class=${`crop${Math.max(wide, high) <= SMALL ? " picture-small" : ""}`} style=${{ aspectRatio: `${wide} / ${high}` }}>
    ${src ? html`<img src=${src} alt=${alt} style=${place} />` : html`<span class="visually-hidden">${alt}</span>`}
  </div>`;
}

/** Return `{mask, error}` of a segmentation's output: read once, null until then. */
export function useMask(output) {
  const [state, setState] = useState({ mask: null, error: null });
  const named = output?.mask ?? output?.mask_url ?? null;
  useEffect(() => {
    let ended = false;
    setState({ mask: null, error: null });
    if (named === null) return undefined;
    maskFile(output)
      .then(readMask)
      .then(
        (mask) => ended || setState({ mask, error: null }),
        (error) => ended || setState({ mask: null, error }),
      );
    return () => (ended = true);
  }, [named]);
  return state;
}
