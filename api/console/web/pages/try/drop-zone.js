// Where pictures are given: chosen, photographed, pasted, or dropped anywhere on the page.
import { html, useEffect, useRef, useState } from "../../lib/preact.js";
import { Icon } from "../../parts/icon.js";
import { toast } from "../../parts/toasts.js";
import { Camera, useHasCamera } from "./camera.js";
import { droppedFiles, isArchive, picturesOf, samplePicture } from "./intake.js";

/** `onFiles(files)`; `small`: there are pictures already. */
export function DropZone({ onFiles, small }) {
  const [over, setOver] = useState(false);
  const [camera, setCamera] = useState(false);
  const hasCamera = useHasCamera();
  const give = useRef(onFiles);
  give.current = onFiles;
  useEffect(() => {
    let depth = 0;
    const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
    const listeners = {
      paste(event) {
        const files = [...event.clipboardData.files];
        if (files.length === 0) return;
        event.preventDefault();
        give.current(files);
      },
      dragenter(event) {
        if (hasFiles(event)) setOver((depth += 1) > 0);
      },
      dragleave(event) {
        if (hasFiles(event)) setOver((depth -= 1) > 0);
      },
      dragover(event) {
        if (hasFiles(event)) event.preventDefault();
      },
      drop(event) {
        if (!hasFiles(event)) return;
        event.preventDefault();
        depth = 0;
        setOver(false);
        droppedFiles(event.dataTransfer).then((files) => (files.length ? give.current(files) : toast("There is no picture in that folder.", "bad")));
      },
    };
    for (const [name, listener] of Object.entries(listeners)) document.addEventListener(name, listener);
    return () => {
      for (const [name, listener] of Object.entries(listeners)) document.removeEventListener(name, listener);
    };
  }, []);
  return html`<section class=${`drop${over ? " drop-over" : ""}${small ? " drop-small" : ""}`} aria-label="Give pictures">
    ${!small && html`<${Icon} name="try" size=${40} />`}
    <p class="drop-words">${over ? "Let go: they are predicted at once" : small ? "Drop or paste more" : "Drop pictures here, or paste one: each is predicted at once, and you see what the model answers."}</p>
    <div class="actions">
      <${Chooser} label="Choose pictures" main=${!small} icon="try" onFiles=${onFiles} accept="image/*,.npy,.tif,.tiff,.zip,.tar,.tgz,.gz" multiple />
      <${Chooser} label="Photograph" touch icon="camera" onFiles=${onFiles} accept="image/*" capture="environment" />
      ${hasCamera && html`<button type="button" class="button mouse-only" onClick=${() => setCamera(true)}><${Icon} name="camera" />Use the camera</button>`}
      <${Chooser} label="Choose a folder" icon="folder" onFiles=${onFiles} folder />
      ${!small && html`<button type="button" class="button" onClick=${async () => onFiles([await samplePicture()])}>Try a sample</button>`}
    </div>
    ${!small && html`<p class="soft">JPEG, PNG, WebP, GIF, BMP, TIFF, NumPy arrays; a zip or tar goes up as one batch.</p>`}
    ${camera && html`<${Camera} onFiles=${onFiles} onClose=${() => setCamera(false)} />`}
  </section>`;
}

/** A button that opens the browser's chooser of files, or the camera of a phone. */
function Chooser({ label, icon, main, folder, touch, onFiles, ...given }) {
  const input = useRef(null);
  useEffect(() => {
    if (folder) input.current.webkitdirectory = true;
  }, []);
  function onChange(event) {
    const files = [...event.target.files];
    event.target.value = "";
    const found = folder ? picturesOf(files) : files;
    if (found.length) onFiles(found);
    else if (files.length) toast("There is no picture in that folder.", "bad");
  }
  return html`<span class=${touch ? "touch-only" : ""}>
    <input ref=${input} type="file" hidden aria-label=${label} onChange=${onChange} ...${given} />
    <button type="button" class=${`button${main ? " button-main" : ""}`} onClick=${() => input.current.click()}><${Icon} name=${icon} />${label}</button>
  </span>`;
}

/** Say what files were given, for screen readers and as a message: "3 pictures and 1 archive". */
export function countWords(files) {
  const archives = files.filter(isArchive).length;
  const plain = files.length - archives;
  const words = [];
  if (plain) words.push(`${plain} ${plain === 1 ? "picture" : "pictures"}`);
  if (archives) words.push(`${archives} ${archives === 1 ? "archive" : "archives"}`);
  return words.join(" and ");
}
