// The pictures of this page: what was given, how far each one is. They stay while one looks at other pages.
import { connection, get, request, Unreachable, untilReached } from "../../lib/api.js";
import { follow } from "../../lib/events.js";
import { signal } from "../../lib/signal.js";
import { upload } from "../../lib/upload.js";
import { isArchive } from "./intake.js";
import { makeThumbnail } from "./thumbnail.js";

// A browser has six connections to one host: two that upload, three that follow, one for the rest.
const MOST_UPLOADS = 2;
const MOST_STREAMS = 3;
const POLL_MS = 1500;
const MOST_RETRIES = 5;
const MOST_RESULTS = 200;

/**
 * Of each: `id`, `kind` (picture, archive), `file`, `name`, `model` (a reference, null: whichever serves), `state`,
 * `progress` (0 to 1 of the upload), `thumbnail` (undefined: not made yet, null: can't be drawn), `prediction` or
 * `batch` and `results`, `error`, `uploadTime` in seconds. `state`: waiting, uploading, lost, then the API's status, or
 * refused. Each object is replaced where it changes.
 */
export const pictures = signal([]);

const known = new Map();
let count = 0;
let drawn = 0;
let uploads = 0;
let streams = 0;

export const ENDED = new Set(["succeeded", "failed", "canceled", "refused", "completed"]);

/** Add files and begin to upload them; returns the id of the first. */
export function add(files, model) {
  let first = null;
  for (const file of files) {
    count += 1;
    const id = `p${count}`;
    first ??= id;
    const kind = isArchive(file) ? "archive" : "picture";
    const name = file.webkitRelativePath || file.name || "pasted.png";
    known.set(id, { id, kind, file, name, model, state: "waiting", progress: 0, key: newKey(), retries: 0 });
    if (kind === "picture") makeThumbnail(file).then((thumbnail) => change(id, { thumbnail }));
  }
  publish();
  pump();
  return first;
}

/** Ask again about a picture, of the same or another model. */
export function askAgain(id, model) {
  change(id, { model, state: "waiting", progress: 0, key: newKey(), retries: 0, prediction: null, batch: null, results: null, error: null });
  pump();
}

export function remove(id) {
  const { thumbnail, stop } = known.get(id);
  stop?.();
  if (thumbnail) URL.revokeObjectURL(thumbnail.url);
  known.delete(id);
  publish();
}

export function removeAll() {
  for (const id of [...known.keys()]) remove(id);
}

connection.follow((now) => {
  if (now !== "up") return;
  for (const { id, state } of known.values()) if (state === "lost") change(id, { state: "waiting" });
  pump();
});

/** Change what is known of a picture, if it is still there; the page is drawn at most once a frame. */
function change(id, changed) {
  const picture = known.get(id);
  if (!picture) {
    if (changed.thumbnail) URL.revokeObjectURL(changed.thumbnail.url);
    return;
  }
  known.set(id, { ...picture, ...changed });
  publish();
}

function publish() {
  if (drawn) return;
  // A hidden page gets no frames, and goes on.
  drawn = setTimeout(() => {
    drawn = 0;
    pictures.value = [...known.values()];
  }, 16);
}

function pump() {
  for (const picture of known.values()) {
    if (uploads < MOST_UPLOADS && picture.state === "waiting" && connection.value === "up") send(picture);
    const { prediction, batch } = picture;
    if (streams < MOST_STREAMS && (prediction || batch) && !ENDED.has(picture.state) && !picture.followed) followEnd(picture);
  }
}

async function send({ id, kind, file, name, model, key, retries }) {
  uploads += 1;
  const stop = new AbortController();
  change(id, { state: "uploading", progress: 0, error: null, stop: () => stop.abort() });
  const form = new FormData();
  if (model) form.append("model", model);
  form.append(kind === "archive" ? "archive" : "image", file, name);
  const began = performance.now();
  try {
    const answer = await upload(kind === "archive" ? "v1/batches" : "v1/predictions", form, {
      headers: { "Idempotency-Key": key },
      onProgress: (progress) => change(id, { progress }),
      signal: stop.signal,
    });
    const uploadTime = (performance.now() - began) / 1000;
    change(id, { [kind === "archive" ? "batch" : "prediction"]: answer, state: answer.status, uploadTime, progress: 1, followed: false });
    if (kind === "archive" && ENDED.has(answer.status)) await readResults(id, answer.id);
  } catch (error) {
    if (error.name !== "AbortError") onRefusal(id, error, retries);
  }
  uploads -= 1;
  pump();
}

function onRefusal(id, error, retries) {
  if (error instanceof Unreachable) {
    change(id, { state: "lost" });
  } else if ([429, 503].includes(error.status) && retries < MOST_RETRIES) {
    // The API says when: a full queue, or more than the key may send.
    change(id, { state: "later", error, retries: retries + 1 });
    setTimeout(() => known.get(id)?.state === "later" && (change(id, { state: "waiting" }), pump()), 1000 * (error.retryAfter ?? 2));
  } else {
    change(id, { state: "refused", error });
  }
}

/** Follow a prediction or a batch by its stream; where that is given up, ask now and then. */
function followEnd({ id, kind, prediction, batch }) {
  streams += 1;
  let over = false;
  const free = () => {
    if (over) return;
    over = true;
    streams -= 1;
    pump();
  };
  const on = (type, data) => {
    if (type === "logs") change(id, { state: data });
    else if (type === "progress") {
      const { status, request_counts: counts } = JSON.parse(data);
      change(id, { state: ENDED.has(status) ? "in_progress" : status, batch: { ...batch, status, request_counts: counts } });
    } else if (type === "done") readEnd(id, kind).finally(free);
  };
  const stop = follow((prediction ?? batch).urls.stream, {
    types: ["logs", "progress", "output", "error", "done"],
    last: ["done"],
    on,
    onGone: () => readEnd(id, kind).finally(free),
  });
  change(id, { followed: true, stop: () => (stop(), free()) });
}

/** Read what has ended; where it has not, or the API is away, again after a while. */
async function readEnd(id, kind) {
  for (;;) {
    const picture = known.get(id);
    if (!picture) return;
    try {
      if (kind === "archive") {
        const batch = await untilReached(() => get(`v1/batches/${picture.batch.id}`));
        if (batch.status === "completed" || batch.status === "canceled") {
          change(id, { batch, state: batch.status });
          await readResults(id, batch.id);
          return;
        }
        change(id, { batch });
      } else {
        const prediction = await untilReached(() => get(`v1/predictions/${picture.prediction.id}`));
        change(id, { prediction, state: prediction.status });
        if (ENDED.has(prediction.status)) return;
      }
    } catch (error) {
      if (error.status >= 400 && error.status < 500) {
        change(id, { state: "refused", error });
        return;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Read the first results of a batch; the rest is on its own page. */
async function readResults(id, batch) {
  const stop = new AbortController();
  const answer = await request("GET", `v1/batches/${batch}/results`, { query: { format: "ndjson" }, signal: stop.signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (let lines = 0; lines <= MOST_RESULTS; lines = text.split("\n").length) {
    const { done, value } = await reader.read();
    if (done) break;
    text += value;
  }
  stop.abort();
  const whole = text.slice(0, text.lastIndexOf("\n")).split("\n");
  change(id, { results: whole.filter(Boolean).slice(0, MOST_RESULTS).map((line) => JSON.parse(line)) });
}

/** Return a key under which an upload may be repeated; `randomUUID` is there only over HTTPS. */
function newKey() {
  return `console-${[...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
