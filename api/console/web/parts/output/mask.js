// Reads a segmentation's mask, and paints it: its pixels are class indices, which a browser's own decoder would lose.
import { blob, pathOf, untilReached } from "../../lib/api.js";

/** Pixels that the model did not see. */
export const UNSEEN = 255;
const OPACITY = 150;

/** The colour of a class as the mask's palette has it: [red, green, blue]. */
export function classColour(index) {
  if (index === 0) return [0, 0, 0];
  if (index === UNSEEN) return [255, 255, 255];
  const hue = ((index * 0.618034) % 1) * 6;
  const value = index % 2 ? 0.9 : 0.65;
  const channel = (offset) => {
    const at = (offset + hue) % 6;
    return Math.round(255 * value * (1 - 0.75 * Math.max(0, Math.min(at, 4 - at, 1))));
  };
  return [channel(5), channel(3), channel(1)];
}

/** Return a mask's PNG: from the output itself, or with the key from `mask_url`. */
export async function maskFile(output) {
  if (output.mask) return Uint8Array.from(atob(output.mask), (letter) => letter.charCodeAt(0));
  return new Uint8Array(await (await untilReached(() => blob(pathOf(output.mask_url)))).arrayBuffer());
}

/** Return `{width, height, indices}` of a PNG with 8 bits a pixel and a palette, as the worker writes it. */
export async function readMask(file) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const parts = [];
  let [width, height] = [0, 0];
  for (let at = 8; at + 8 <= file.length; at += view.getUint32(at) + 12) {
    const kind = String.fromCharCode(...file.subarray(at + 4, at + 8));
    const content = file.subarray(at + 8, at + 8 + view.getUint32(at));
    if (kind === "IHDR") {
      [width, height] = [view.getUint32(at + 8), view.getUint32(at + 12)];
      // Bits 8, colour type 3 (palette), not interlaced.
      if (content[8] !== 8 || content[9] !== 3 || content[12] !== 0) throw new Error("The mask is a PNG of another kind.");
    }
    if (kind === "IDAT") parts.push(content);
  }
  const unpacked = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
  return { width, height, indices: unfilter(new Uint8Array(await new Response(unpacked).arrayBuffer()), width, height) };
}

/** Undo PNG's filters (its section 9) of rows with one byte a pixel. */
function unfilter(data, width, height) {
  const pixels = new Uint8Array(width * height);
  for (let y = 0; y < height; y += 1) {
    const filter = data[y * (width + 1)];
    const from = y * (width + 1) + 1;
    const to = y * width;
    for (let x = 0; x < width; x += 1) {
      const left = x ? pixels[to + x - 1] : 0;
      const above = y ? pixels[to + x - width] : 0;
      let guess = 0;
      if (filter === 1) guess = left;
      else if (filter === 2) guess = above;
      else if (filter === 3) guess = (left + above) >> 1;
      else if (filter === 4) guess = paeth(left, above, x && y ? pixels[to + x - width - 1] : 0);
      pixels[to + x] = data[from + x] + guess;
    }
  }
  return pixels;
}

function paeth(left, above, corner) {
  const sum = left + above - corner;
  const [a, b, c] = [Math.abs(sum - left), Math.abs(sum - above), Math.abs(sum - corner)];
  if (a <= b && a <= c) return left;
  return b <= c ? above : corner;
}

/** Paint a mask onto a canvas; the classes in `hidden` (a Set of indices) stay clear, as does what was not seen. */
export function paintMask(canvas, { width, height, indices }, hidden) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const words = new Uint32Array(image.data.buffer);
  const colours = new Uint32Array(256);
  for (let index = 0; index < UNSEEN; index += 1) {
    const [red, green, blue] = classColour(index);
    // Canvases are little-endian RGBA on every machine that has a browser.
    if (!hidden.has(index)) colours[index] = ((OPACITY << 24) | (blue << 16) | (green << 8) | red) >>> 0;
  }
  for (let at = 0; at < indices.length; at += 1) words[at] = colours[indices[at]];
  context.putImageData(image, 0, 0);
}
