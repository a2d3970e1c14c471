"""The console in a real Chromium: opens it, notices what browsers complain of, checks it with axe, takes pictures."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

import psutil
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, expect

from tests.support.processes import own_seconds
from tests.support.waiting import until

CHROMIUM: Final = shutil.which("chromium") or ""
PICTURES: Final = Path(__file__).parents[2] / "build" / "console"
SIZES: Final = {"desktop": (1360, 860), "phone": (390, 844), "small": (360, 640), "wide": (3840, 2160)}
TAGS: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@contextmanager
def chromium(playwright: Playwright, *more: str) -> Iterator[Browser]:
    """Run Debian's Chromium, with more arguments."""
    arguments = ["--no-sandbox", "--disable-background-networking", *more]
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
    try:
        yield browser
    finally:
        browser.close()


def chromium_seconds() -> float:
    """Return the processor seconds so far of every process of the Chromium that this process started."""
    started = psutil.Process().children(recursive=True)
    return sum(own_seconds(one) for one in started if "chrom" in _name(one))


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


class Console:
    """A page of the console. Leaving it fails the test if the browser complained of anything unexpected."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.url = url
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.expected: list[re.Pattern[str]] = []
        self.page.on("console", self._on_message)
        self.page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        unexpected = [text for text in self.complaints if not any(known.search(text) for known in self.expected)]
        self.page.close()
        if kind is None:
            assert not unexpected, unexpected

    def _on_message(self, message: ConsoleMessage) -> None:
        # Violations of the Content-Security-Policy are errors on the console too.
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text} at {message.location.get('url', '')}")

    def expect(self, *patterns: str) -> None:
        """Name what the browser may complain of in this test, such as the status of an answer that it asks for."""
        self.expected += [re.compile(pattern) for pattern in patterns]

    def open(self, where: str = "#/try") -> Page:
        """Go to an address of the console, and return the page once its heading is there."""
        self.page.goto(f"{self.url}/{where}")
        expect(self.page.locator("h1")).to_be_visible()
        return self.page

    def sign_in(self, key: str) -> None:
        """Give the page the key that it asks for."""
        self.page.get_by_label("Your API key").fill(key)
        self.page.get_by_role("button", name="Sign in").click()

    def check_accessible(self) -> None:
        """Fail if axe finds a violation of WCAG 2.2 AA or of its best practices on the page as it is now."""
        found: dict[str, Any] = Axe().run(self.page, options={"runOnly": {"type": "tag", "values": TAGS}}).response
        told = [
            f"{one['id']}: {one['help']}: {[node['html'][:200] for node in one['nodes']]}"
            for one in found["violations"]
        ]
        assert not told, "\n".join(told)

    def fits(self) -> None:
        """Fail if the page stays wider than the window: it would scroll sideways. Plots are a frame later."""
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        until(lambda: self.page.evaluate(wide) <= 0, what="the page is no wider than the window")

    def picture(self, name: str, *, size: str = "desktop", theme: str = "light", whole: bool = False) -> Path:
        """Take a picture of the page at one of SIZES into `build/console/`, and return its path."""
        width, height = SIZES[size]
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.emulate_media(color_scheme="dark" if theme == "dark" else "light", reduced_motion="reduce")
        PICTURES.mkdir(parents=True, exist_ok=True)
        path = PICTURES / f"{name}-{size}-{theme}.png"
        self.page.screenshot(path=path, full_page=whole)
        return path

    def look(self, name: str) -> None:
        """Check the page in light, dark and on a phone: accessible, no wider than the window; a picture of each."""
        for size, theme in (("desktop", "light"), ("desktop", "dark"), ("phone", "light"), ("small", "dark")):
            self.picture(name, size=size, theme=theme)
            self.check_accessible()
            self.fits()
        self.picture(name)
