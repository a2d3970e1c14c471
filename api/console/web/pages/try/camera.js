// Takes a picture with this machine's camera: a dialog with what it sees, and a button. It is off once the dialog is gone.
import { html, useEffect, useRef, useState } from "../../lib/preact.js";
import { Dialog } from "../../parts/dialog.js";
import { Icon } from "../../parts/icon.js";
import { ErrorNotice, Loading } from "../../parts/notices.js";

const WANTED = { audio: false, video: { width: { ideal: 1920 }, height: { ideal: 1080 } } };
const WORDS = {
  NotAllowedError: "The browser does not let this page use the camera: allow it beside the address, and try again.",
  NotFoundError: "This machine has no camera.",
  NotReadableError: "The camera is in use by another program.",
};

/** Tell whether there is a camera that this page may ask for, now and when one is plugged in. */
export function useHasCamera() {
  const [has, setHas] = useState(false);
  useEffect(() => {
    // Browsers have no such thing where a page came neither over HTTPS nor from this machine.
    const devices = navigator.mediaDevices;
    if (!devices?.getUserMedia) return undefined;
    let ended = false;
    const look = async () => {
      const found = await devices.enumerateDevices().catch(() => []);
      if (!ended) setHas(found.some(({ kind }) => kind === "videoinput"));
    };
    look();
    devices.addEventListener("devicechange", look);
    return () => {
      ended = true;
      devices.removeEventListener("devicechange", look);
    };
  }, []);
  return has;
}

/** `onFiles([file])`: the picture that was taken; the dialog closes then. */
export function Camera({ onFiles, onClose }) {
  const video = useRef(null);
  const [state, setState] = useState({ ready: false, error: null });
  const [attempt, setAttempt] = useState(0);
  useEffect(() => {
    let stream = null;
    let ended = false;
    const stop = () => stream?.getTracks().forEach((track) => track.stop());
    setState({ ready: false, error: null });
    navigator.mediaDevices.getUserMedia(WANTED).then(
      (given) => {
        stream = given;
        // The dialog may be closed while the browser asks.
        if (ended) stop();
        else video.current.srcObject = stream;
      },
      (error) => ended || setState({ ready: false, error: new Error(WORDS[error.name] ?? error.message) }),
    );
    addEventListener("pagehide", stop);
    return () => {
      ended = true;
      stop();
      removeEventListener("pagehide", stop);
    };
  }, [attempt]);
  async function take() {
    const { videoWidth: width, videoHeight: height } = video.current;
    const canvas = document.createElement("canvas");
    canvas.width = width;
    canvas.height = height;
    canvas.getContext("2d").drawImage(video.current, 0, 0);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
    const time = new Date().toISOString().slice(0, 19).replaceAll(":", "-");
    onFiles([new File([blob], `camera-${time}.jpg`, { type: "image/jpeg" })]);
    onClose();
  }
  return html`<${Dialog} title="Take a picture" onClose=${onClose} wide>
    <${ErrorNotice} error=${state.error} onRetry=${() => setAttempt(attempt + 1)} />
    ${!state.ready && !state.error && html`<${Loading} what="Waiting for the camera…" />`}
    <video ref=${video} class="camera" hidden=${!state.ready} autoplay muted playsinline aria-label="What the camera sees"
      onLoadedData=${() => setState({ ready: true, error: null })}></video>
    <div class="actions">
      <button type="button" class="button" onClick=${onClose}>Take none</button>
      <button type="button" class="button button-main" disabled=${!state.ready} onClick=${take}><${Icon} name="camera" />Take the picture</button>
    </div>
  <//>`;
}
