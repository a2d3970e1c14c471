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


# One of 400 predictions matches, ten come a second; a poll each 10 s reads the newest 500; older ones are read as well.
SEARCH = """async (base) => {
  const { EMPTY, merged } = await import(`${base}/pages/predictions/tail.js`);
  let now = 1_800_000_000_000;
  const all = [];
  const add = (n) => {
    for (let i = 0; i < n; i += 1) {
      all.push({ id: (now += 100).toString(16).padStart(12, "0"), fits: all.length % 400 === 7 });
    }
  };
  const page = (cursor) => {
    const end = cursor === null ? all.length : all.findIndex(({ id }) => id === cursor);
    const begin = Math.max(0, end - 500);
    const results = all.slice(begin, end).filter(({ fits }) => fits).reverse();
    return { results, cursor: begin ? all[begin].id : null };
  };
  add(20_000);
  let [state, since] = [EMPTY, NaN];
  const wrong = [];
  for (let step = 0; step < 100; step += 1) {
    const before = state;
    state = merged(state, { ...page(null), since }, false);
    since = now;
    if (before.rows.length > state.rows.length) wrong.push(`${step}: rows have gone`);
    if (step > 0 && state.cursor !== before.cursor) wrong.push(`${step}: it begins again`);
    if (state.cursor) {
      const { results, cursor } = page(state.cursor);
      state = { ...state, rows: [...state.rows, ...results], cursor };
    }
    const known = all.filter(({ id, fits }) => fits && (state.cursor === null || id >= state.cursor)).reverse();
    if (known.map(({ id }) => id).join() !== state.rows.map(({ id }) => id).join()) wrong.push(`${step}: a hole`);
    add(100);
  }
  return { wrong, ended: state.cursor === null };
}"""


def simulated(console: Console, simulation: str) -> dict[str, Any]:
    """Run a simulation beside the page's own modules, and return what it tells."""
    page = console.open("#/predictions")
    module = page.locator("link[rel=modulepreload]").first.get_attribute("href")
    assert module is not None
    base = page.evaluate("(path) => new URL(path, document.baseURI).href", module.split("/lib/")[0].split("/parts/")[0])
    found: dict[str, Any] = page.evaluate(simulation, base)
    return found


def test_however_many_come_the_live_list_is_bounded_and_has_no_hole(console: Console) -> None:
    found = simulated(console, SIMULATION)
    assert found["wrong"] == []
    # What is taken while it waits adds one page to the rows that are there.
    assert found["most"]["rows"] <= found["allowed"] + 50
    assert found["most"]["waiting"] <= 50


def test_a_search_where_few_match_goes_on_while_others_come_in(console: Console) -> None:
    assert simulated(console, SEARCH) == {"wrong": [], "ended": True}
