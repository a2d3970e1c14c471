// Bars of two versions side by side; the same numbers as a table for screen readers.
import { html } from "../../lib/preact.js";

/**
 * `names`: of the versions; `groups`: labels of the bars; `values`: a list of numbers a version, or null where it has
 * none; `words(value)`; `labels`: shorter than `groups`, for below the bars; `sparse`: label the first, middle and last
 * group alone.
 */
export function Histogram({ title, names, groups, labels = groups, values, words, sparse = false }) {
  const shown = values.map((list, place) => ({ list, name: names[place], tone: place ? 4 : 2 })).filter(({ list }) => list);
  if (!shown.length || !groups.length) return null;
  const most = Math.max(...shown.flatMap(({ list }) => list), 1e-9);
  const labelled = (place) => !sparse || place === 0 || place === groups.length - 1 || place === Math.floor(groups.length / 2);
  return html`<figure class="histogram">
    <figcaption>${title}</figcaption>
    <div class=${`columns${sparse ? " columns-sparse" : ""}`} aria-hidden="true">
      ${groups.map((group, place) => html`<div class="column" title=${shown.map(({ name, list }) => `version ${name}, ${group}: ${words(list[place])}`).join("\n")}>
        <div class="column-bars">${shown.map(({ list, tone }) => html`<span class=${`column-bar tone-${tone}`} style=${{ height: `${(100 * list[place]) / most}%` }}></span>`)}</div>
        <span class="column-label">${labelled(place) ? labels[place] : ""}</span>
      </div>`)}
    </div>
    <div class="visually-hidden"><table>
      <caption>${title}</caption>
      <thead><tr><td></td>${shown.map(({ name }) => html`<th scope="col">version ${name}</th>`)}</tr></thead>
      <tbody>${groups.map((group, place) => html`<tr><th scope="row">${group}</th>${shown.map(({ list }) => html`<td>${words(list[place])}</td>`)}</tr>`)}</tbody>
    </table></div>
  </figure>`;
}
