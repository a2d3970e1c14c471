// The same call in a shell, Python and JavaScript, to be copied: with this page's address and the picture's own name.
import { BASE } from "../../lib/api.js";
import { apiKey } from "../../lib/session.js";
import { curlKey, KEY_VARIABLE } from "../../parts/commands.js";

/** Return `[{name, code}]`; `kind`: picture or archive; the key itself is never in it, only where it is read from. */
export function snippets({ kind, name, model }) {
  const file = name.split("/").pop();
  const field = kind === "archive" ? "archive" : "image";
  const given = { url: new URL(kind === "archive" ? "v1/batches" : "v1/predictions", BASE).href, file, field, model, keyed: apiKey() !== "" };
  const all = [
    { name: "curl", code: shell(given) },
    { name: "Python (replicate)", code: replicate(given) },
    { name: "Python (httpx)", code: httpx(given) },
    { name: "JavaScript", code: javascript(given) },
  ];
  return kind === "archive" ? all.filter((one) => one.name !== "Python (replicate)") : all;
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const plain = /^[\w./@:=-]+$/;
const word = (text) => (plain.test(text) ? text : quoted(text));
/** curl splits a name at commas and semicolons, unless it is in quotes of its own. */
const form = (file) => (plain.test(file) ? file : `"${file.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`);
const text = JSON.stringify;

function shell({ url, file, field, model, keyed }) {
  const lines = ["curl -H 'Prefer: wait'"];
  if (keyed) lines.push(curlKey().trim());
  if (model) lines.push(`-F ${word(`model=${model}`)}`);
  lines.push(`-F ${word(`${field}=@${form(file)}`)}`, url);
  return lines.join(" \\\n  ");
}

function replicate({ file, model, keyed }) {
  // A version's number means nothing without its model's name, which Replicate's clients leave out.
  const reference = model?.includes(":") ? `darkroom/${model.split(":")[0]}:${model}` : `darkroom/${model}`;
  const key = keyed ? `os.environ["${KEY_VARIABLE}"]` : '"none-needed"';
  return `${keyed ? "import os\n\n" : ""}import replicate

client = replicate.Client(base_url=${text(BASE.href.replace(/\/$/, ""))}, api_token=${key})
with open(${text(file)}, "rb") as image:
    output = client.run(${text(reference)}, input={"image": image})
print(output)`;
}

function httpx({ url, file, field, model, keyed }) {
  const headers = `{"Prefer": "wait"${keyed ? `, "Authorization": "Bearer " + os.environ["${KEY_VARIABLE}"]` : ""}}`;
  const data = model ? `\n        data={"model": ${text(model)}},` : "";
  return `${keyed ? "import os\n\n" : ""}import httpx

with open(${text(file)}, "rb") as ${field}:
    answer = httpx.post(
        ${text(url)},
        headers=${headers},${data}
        files={${text(field)}: ${field}},
        timeout=90,
    )
answer.raise_for_status()
print(answer.json())`;
}

function javascript({ url, file, field, model, keyed }) {
  const headers = `{ Prefer: "wait"${keyed ? ", Authorization: `Bearer ${process.env." + KEY_VARIABLE + "}`" : ""} }`;
  return `import { readFile } from "node:fs/promises"; // Node; a page has its files from an <input>

const body = new FormData();
${model ? `body.append("model", ${text(model)});\n` : ""}body.append(${text(field)}, new Blob([await readFile(${text(file)})]), ${text(file)});
const answer = await fetch(${text(url)}, { method: "POST", headers: ${headers}, body });
if (!answer.ok) throw new Error(await answer.text());
console.log(await answer.json());`;
}
