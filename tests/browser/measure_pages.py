"""Measures an open console of a running gateway: `python -m tests.browser.measure_pages URL`. No test: figures alone.

Processor time of Chromium for each page at rest, in thousandths of a core; then, where the list of predictions has
10,000 rows, how long its frames take while it is scrolled. docs/performance.md quotes a run of it.
"""

import sys
import time

from playwright.sync_api import Page, sync_playwright

from tests.support.console import chromium, chromium_seconds

PAGES = ("try", "predictions", "batches", "models", "now", "webhooks", "keys")
REST_SECONDS = 30
ROWS, ROW = 10_000, 46
GESTURES = {"wheel, 3,000 px/s": (15_000, 3_000), "wheel, 20,000 px/s": (100_000, 20_000)}
RECORD = """() => {
  const found = window.frames_ = {gaps: [], long: 0};
  let last = 0;
  const frame = (at) => {
    if (last) found.gaps.push(at - last);
    last = at;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  new PerformanceObserver((list) => (found.long += list.getEntries().length)).observe({entryTypes: ["longtask"]});
}"""


def rest(page: Page, url: str, name: str) -> None:
    """Tell what a page costs while nothing happens."""
    page.goto(f"{url}/#/{name}")
    page.locator("h1").first.wait_for()
    page.wait_for_timeout(3000)
    began, used = time.monotonic(), chromium_seconds()
    page.wait_for_timeout(REST_SECONDS * 1000)
    share = (chromium_seconds() - used) / (time.monotonic() - began)
    sys.stdout.write(f"{name:20} {1000 * share:6.1f} thousandths of a core at rest\n")


def scroll(page: Page, url: str) -> None:
    """Tell how the frames of a long list come while it is scrolled."""
    page.goto(f"{url}/#/predictions")
    page.locator(".virtual-row").first.wait_for()
    page.wait_for_function(
        f"""() => {{
          const list = document.querySelector('.virtual');
          list.scrollTop = list.scrollHeight;
          return list.firstElementChild.offsetHeight >= {ROWS * ROW};
        }}""",
        timeout=120_000,
    )
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})

    def own_seconds() -> float:
        told = devtools.send("Performance.getMetrics")["metrics"]
        return next(float(one["value"]) for one in told if one["name"] == "TaskDuration")

    for name, (distance, speed) in GESTURES.items():
        page.evaluate("document.querySelector('.virtual').scrollTop = 0")
        page.evaluate(RECORD)
        used, own = chromium_seconds(), own_seconds()
        gesture = {"x": 600, "y": 600, "yDistance": -distance, "speed": speed, "gestureSourceType": "mouse"}
        devtools.send("Input.synthesizeScrollGesture", gesture)
        used, own = chromium_seconds() - used, own_seconds() - own
        found = page.evaluate("window.frames_")
        gaps = sorted(found["gaps"])
        half, most = gaps[len(gaps) // 2], gaps[int(0.99 * len(gaps))]
        told = f"frames {half:.1f} ms, 99% {most:.1f} ms, {found['long']} tasks over 50 ms"
        each = (
            f"{1000 * used / len(gaps):.1f} ms of processor time a frame, {1000 * own / len(gaps):.1f} of it the page's"
        )
        sys.stdout.write(f"{name:20} {told}, {each}\n")


if __name__ == "__main__":
    with sync_playwright() as playwright, chromium(playwright) as browser:
        opened = browser.new_context(viewport={"width": 1360, "height": 860}).new_page()
        for one in PAGES:
            rest(opened, sys.argv[1], one)
        scroll(opened, sys.argv[1])
