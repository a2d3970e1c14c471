// Lines to copy that make the first one of something: they run as they stand where the `darkroom` command is.
import { BASE } from "../lib/api.js";
import { apiKey } from "../lib/session.js";

/** The environment variable that the `darkroom` command reads its key from, and every line to copy. */
export const KEY_VARIABLE = "DARKROOM_API_KEY";

export const FIRST_KEY = "darkroom keys create yourname --role admin";
export const KEY_TO_SUBMIT = "darkroom keys create yourname --role submit";
export const FIRST_MODEL = `darkroom models add resnet50 --torchvision resnet50 --random
darkroom models promote resnet50 latest`;
export const FIRST_WEBHOOK = `darkroom webhooks listen 9123 &
darkroom submit --webhook http://127.0.0.1:9123/ picture.jpg`;

/** Return the header with the key, for curl; empty where no key is needed. */
export const curlKey = () => (apiKey() ? `-H "Authorization: Bearer $${KEY_VARIABLE}" ` : "");

/** Return a call of curl that sends a file as a form's field: `post("v1/batches", "archive", "pictures.zip")`. */
export const curlPost = (path, field, file) => `curl ${curlKey()}-F ${field}=@${file} ${new URL(path, BASE).href}`;
