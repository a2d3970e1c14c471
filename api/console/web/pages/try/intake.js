// What people give: files that were chosen, pasted or dropped, and the files of folders that were dropped.

const ARCHIVE = /\.(zip|tar|tgz|tar\.gz)$/i;
const PICTURE = /\.(jpe?g|jfif|png|webp|gif|bmp|tiff?|npy|heic|avif)$/i;

export const isArchive = (file) => ARCHIVE.test(file.name);

/** Of a folder, return its pictures; other files in it, such as notes, are no mistake and are left out. */
export function picturesOf(files) {
  return files.filter((file) => !/(^|\/)\./.test(file.webkitRelativePath || file.name) && (file.type.startsWith("image/") || PICTURE.test(file.name)));
}

/** Return the files of a drop, with those inside folders. */
export async function droppedFiles(transfer) {
  // Read before the first wait: afterwards the browser has emptied the list.
  const entries = [...transfer.items].filter(({ kind }) => kind === "file").map((item) => item.webkitGetAsEntry?.() ?? null);
  const plain = [...transfer.files];
  if (!entries.some((entry) => entry?.isDirectory)) return plain;
  const found = [];
  for (const entry of entries) if (entry) found.push(...(await filesOf(entry)));
  return found;
}

async function filesOf(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader();
  const inside = [];
  for (;;) {
    // Each call returns a part, the last one none.
    const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (part.length === 0) break;
    inside.push(...part);
  }
  inside.sort((one, other) => one.name.localeCompare(other.name, undefined, { numeric: true }));
  const found = [];
  for (const one of inside) found.push(...(one.isDirectory ? await filesOf(one) : picturesOf(await filesOf(one))));
  return found;
}

/** Return a picture to try: a seven, written by hand as the sample model knows them, on 32 × 32 pixels. */
export async function samplePicture() {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 32;
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, 32, 32);
  pen.strokeStyle = "#000";
  pen.lineWidth = 3.2;
  pen.lineCap = pen.lineJoin = "round";
  for (const stroke of [[[8, 7], [16, 6], [24, 6], [19, 16], [15, 27]], [[12, 16], [22, 15]]]) {
    pen.beginPath();
    for (const [x, y] of stroke) pen.lineTo(x, y);
    pen.stroke();
  }
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  return new File([blob], "sample-7.png", { type: "image/png" });
}
