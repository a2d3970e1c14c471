"""A list of 10,000 rows: how much of it is in the page, and how much of the page each step through it changes.

How smooth it is to look at depends on the machine: `python -m tests.browser.measure_pages URL` measures the frames.
"""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.support.api_client import Door
from tests.support.archives import a_zip
from tests.support.console import Console
from tests.support.number_models import picture
from tests.support.waiting import until

COUNT = 10_000
ROW = 46  # pixels
MOST_IN_PAGE = 64
"""Rows, of which 14 are in sight."""
MOST_CHANGED = 24
"""Rows that one step adds: what is in sight and a block before and after it."""

RECORD = """() => {
  const found = window.recorded = {scrolls: 0, added: 0, most: 0, kept: 0, elements: 0};
  const list = document.querySelector('.virtual');
  list.addEventListener('scroll', () => (found.scrolls += 1));
  new MutationObserver((changes) => {
    const added = changes.flatMap(({addedNodes}) => [...addedNodes]);
    const rows = added.filter((one) => one.classList?.contains('virtual-row'));
    found.added += rows.length;
    found.most = Math.max(found.most, rows.length);  // of one drawing
    // Whatever changes inside a row that was there before, other than the seconds that pass.
    const inRow = ({target}) => target.closest('.virtual-row') && !target.closest('.row-ago');
    found.kept += changes.filter(inRow).length;
    found.elements = Math.max(found.elements, list.querySelectorAll('.virtual-row').length);
  }).observe(list, {subtree: true, childList: true, attributes: true});
}"""


@pytest.fixture(scope="module")
def batch(door: Door) -> str:
    """The id of a batch of that many pictures, which has ended."""
    content = picture(5)
    archive = a_zip((f"{number:05}.png", content) for number in range(COUNT))
    answer = door.post("/v1/batches", files={"archive": ("many.zip", archive)}, data={"model": "classification"})
    assert answer.status_code == 202, answer.text
    id: str = answer.json()["id"]
    until(lambda: door.http.get(f"/v1/batches/{id}").json()["completed_at"], seconds=120, what="the batch has ended")
    return id


def open_list(console: Console, batch: str) -> Page:
    """Open the list of the batch's predictions, with all of them read."""
    page = console.open(f"#/predictions?batch_id={batch}")
    expect(page.locator(".virtual-row").first).to_be_visible()
    read = f"""() => {{
      const list = document.querySelector('.virtual');
      list.scrollTop = list.scrollHeight;
      return list.firstElementChild.offsetHeight === {COUNT * ROW};
    }}"""
    page.wait_for_function(read, timeout=120_000)
    page.evaluate("document.querySelector('.virtual').scrollTop = 0")
    expect(page.locator(".virtual-row").first).to_have_attribute("aria-posinset", "1")
    return page


def recorded(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate("window.recorded")
    return found


def test_steps_through_ten_thousand_rows_change_a_bounded_part_of_the_page(console: Console, batch: str) -> None:
    page = open_list(console, batch)
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable")

    def layouts() -> float:
        told = devtools.send("Performance.getMetrics")["metrics"]
        return next(one["value"] for one in told if one["name"] == "LayoutCount")

    page.evaluate(RECORD)
    before = layouts()
    gesture = {"x": 600, "y": 600, "yDistance": -40_000, "speed": 20_000, "gestureSourceType": "mouse"}
    devtools.send("Input.synthesizeScrollGesture", gesture)
    page.get_by_role("list", name="Predictions, newest first").focus()
    for _ in range(20):
        page.keyboard.press("PageDown")
    found = recorded(page)
    assert found["scrolls"] > 20
    assert found["elements"] <= MOST_IN_PAGE, found
    assert found["most"] <= MOST_IN_PAGE, found
    assert found["kept"] == 0, "rows that stay in sight are not drawn anew"
    # A layout a frame, and none forced in between: at most one more for what the frame's script has changed.
    assert layouts() - before <= 2 * found["scrolls"] + 10, found
    page.keyboard.press("End")
    expect(page.locator(".virtual-row").last).to_have_attribute("aria-posinset", str(COUNT))
    ids = page.locator(".virtual-row a").evaluate_all("links => links.map((one) => one.href)")
    assert len(set(ids)) == len(ids)


def test_small_steps_add_only_what_comes_into_sight(console: Console, batch: str) -> None:
    page = open_list(console, batch)
    page.evaluate(RECORD)
    steps = 200
    page.evaluate(f"""async () => {{
      const list = document.querySelector('.virtual');
      for (let step = 0; step < {steps}; step += 1) {{
        list.scrollTop += {ROW};
        await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
      }}
    }}""")
    found = recorded(page)
    assert steps - 24 <= found["added"] <= steps + MOST_CHANGED, found
    assert found["most"] <= MOST_CHANGED, found
    assert found["kept"] == 0, found
