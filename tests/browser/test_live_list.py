"""The list of predictions that grows by itself: bounded however many come, and without a hole."""

from typing import Any

from tests.support.console import Console

# Thousands of polls of a list that grows by nothing, by a few, by just a page or by far more, while somebody scrolls,
# returns, and takes what waits. `all` is the truth, oldest first; a page is its newest 50, as the API answers.
SIMULATION = """async (base) => {
  const { EMPTY, MOST_LIVE, merged, taken } = await import(`${base}/pages/predictions/tail.js`);
  let seed = 7;
  const chance = (n) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
  const all = [];
  const add = (n) => { for (let i = 0; i < n; i += 1) all.push({ id: String(all.length).padStart(9, "0") }); };
  const newest = () => {
    const results = all.slice(-50).reverse();
    return { results, cursor: all.length > 50 ? results[results.length - 1].id : null };
  };
  add(120);
  let state = EMPTY;
  let hold = false;
  const most = { rows: 0, waiting: 0 };
  const wrong = [];
  for (let step = 0; step < 4000; step += 1) {
    add([0, 0, 1, 3, 30, 49, 50, 51, 99, 700][chance(10)]);
    if (chance(5) === 0) hold = !hold;
    const before = state;
    state = merged(state, newest(), hold);
    const shown = state.rows.map(({ id }) => Number(id));
    if (hold && before.rows.length && shown[0] !== Number(before.rows[0].id)) wrong.push(`${step}: moved`);
    if (!hold && shown[0] !== all.length - 1) wrong.push(`${step}: not the newest`);
    if (hold && chance(3) === 0) {
      state = taken(state);
      if (Number(state.rows[0].id) !== all.length - 1) wrong.push(`${step}: took not the newest`);
    }
    const ids = state.rows.map(({ id }) => Number(id));
    if (ids.some((id, place) => place && id !== ids[place - 1] - 1)) wrong.push(`${step}: a hole`);
    if (state.cursor !== null && state.cursor !== state.rows[state.rows.length - 1].id) wrong.push(`${step}: cursor`);
    most.rows = Math.max(most.rows, state.rows.length);
    most.waiting = Math.max(most.waiting, state.newer.length);
  }
  return { wrong, most, allowed: MOST_LIVE };
}"""


def test_however_many_come_the_live_list_is_bounded_and_has_no_hole(console: Console) -> None:
    page = console.open("#/predictions")
    module = page.locator("link[rel=modulepreload]").first.get_attribute("href")
    assert module is not None
    base = page.evaluate("(path) => new URL(path, document.baseURI).href", module.split("/lib/")[0].split("/parts/")[0])
    found: dict[str, Any] = page.evaluate(SIMULATION, base)
    assert found["wrong"] == []
    # What is taken while it waits adds one page to the rows that are there.
    assert found["most"]["rows"] <= found["allowed"] + 50
    assert found["most"]["waiting"] <= 50
