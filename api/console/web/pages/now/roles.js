// The roles and their processes: state, CPU, memory, GPU.
import { bytes, duration, number, percent } from "../../lib/format.js";
import { html } from "../../lib/preact.js";
import { StatusBadge } from "../../parts/status-badge.js";

const WORDS = {
  api: "takes images, answers",
  predict: "decodes and predicts",
  record: "writes rows to Postgres",
  webhooks: "delivers webhooks",
  upkeep: "sweeps, keeps deadlines",
};

export function Roles({ roles }) {
  return html`<div class="now-roles">
    ${roles.map(
      (one) => html`<article key=${one.role} class="card now-role" aria-label=${one.role}>
        <header>
          <h3>${one.role}</h3>
          <${StatusBadge} status=${one.state} />
          <span class="soft">${WORDS[one.role]}</span>
        </header>
        ${one.detail && html`<p class="now-detail">${one.detail}</p>`}
        <ul>
          ${one.processes.map((process) => html`<${Process} key=${process.name} process=${process} />`)}
        </ul>
      </article>`,
    )}
  </div>`;
}

function Process({ process }) {
  const { device, busy } = process;
  return html`<li class="now-process">
    <div class="now-process-head">
      <span class="mono" title=${`pid ${process.pid} on ${process.host}`}>${process.name}</span>
      ${process.state !== "ready" && html`<${StatusBadge} status=${process.state} tone="bad" />`}
    </div>
    <div class="now-process-figures soft">
      <span>up ${duration(process.up_seconds)}</span>
      <span>${process.cores === null ? "–" : percent(process.cores, 0)} CPU</span>
      <span>${bytes(process.memory_bytes)}</span>
      ${process.images_per_second !== null && html`<span>${number(process.images_per_second)} images/s</span>`}
    </div>
    ${busy !== null && html`<${Meter} label="Time in forward passes" share=${busy} words=${`forward ${percent(busy, 0)}`} />`}
    ${device && html`<${Meter} label=${`Memory of ${device.name}`} share=${1 - device.free_bytes / device.total_bytes}
      words=${`${device.name}: ${bytes(device.total_bytes - device.free_bytes)} of ${bytes(device.total_bytes)} in use, ${bytes(device.allocated_bytes)} by its tensors`} />`}
  </li>`;
}

/** A share from 0 to 1 as a bar, with its words. */
export function Meter({ label, share, words }) {
  const shown = Math.min(1, Math.max(0, share));
  return html`<div class="now-meter" role="img" aria-label=${`${label}: ${words}`}>
    <span class="now-bar"><span class=${shown > 0.8 ? "now-bar-4" : "now-bar-3"} style=${{ width: `${100 * shown}%` }}></span></span>
    <span class="soft">${words}</span>
  </div>`;
}
