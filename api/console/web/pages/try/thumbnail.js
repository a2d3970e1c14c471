// Thumbnails, made in the browser one after another, so that hundreds of pictures need the memory of one.
const SIDE = 320;
/** Files larger than this are reduced while they are decoded. */
const LARGE = 1024 * 1024;

let last = Promise.resolve();

/**
 * Return `{url, width, height}`: a small picture, and the size of what the browser drew, upright. null where the browser
 * can't draw it, such as a TIFF. Thumbnails are made in the order in which they are asked for.
 */
export function makeThumbnail(file) {
  last = last.then(() => thumbnail(file).catch(() => null));
  return last;
}

async function thumbnail(file) {
  const bitmap = await createImageBitmap(file, file.size > LARGE ? { resizeWidth: 2 * SIDE, resizeQuality: "medium" } : {});
  const { width, height } = bitmap;
  const scale = Math.min(1, SIDE / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const small = await new Promise((resolve) => canvas.toBlob(resolve, "image/webp", 0.85));
  return { url: URL.createObjectURL(small), width, height };
}

/** Return the picture's size, upright: the API tells it as it is stored, the thumbnail which way is up. */
export function uprightSize(image, thumbnail) {
  if (!image?.width) return thumbnail ? [thumbnail.width, thumbnail.height] : null;
  const turned = thumbnail && image.width !== image.height && image.width > image.height !== thumbnail.width > thumbnail.height;
  return turned ? [image.height, image.width] : [image.width, image.height];
}
