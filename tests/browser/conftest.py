"""One stack for all tests in a browser, with a model of each task, and a gateway on its stores that asks for keys."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Playwright, expect, sync_playwright

from tests.support.console import CHROMIUM, SIZES, Console, chromium
from tests.support.gateway_fixtures import closed, door
from tests.support.stack import Stack
from tests.support.tasks_stack import tasks_stack

__all__ = ["closed", "door"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not CHROMIUM:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="no Chromium on this machine"))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack that serves `digits` and a model of each task."""
    with tasks_stack(tmp_path_factory.mktemp("browser")) as stack:
        yield stack


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """Playwright, of which a process has one; what a page is expected to show it has half a minute for, not 5 s."""
    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """Chromium."""
    with chromium(playwright) as browser:
        yield browser


@pytest.fixture
def open_console(browser: Browser) -> Iterator[Callable[[str], Console]]:
    """Make a console of a gateway's address in a browser profile of its own."""
    opened: list[Console] = []
    contexts = []

    def make(url: str) -> Console:
        width, height = SIZES["desktop"]
        contexts.append(browser.new_context(viewport={"width": width, "height": height}))
        contexts[-1].set_default_timeout(15_000)
        opened.append(Console(contexts[-1], url))
        return opened[-1]

    yield make
    try:
        for console in opened:
            with console:
                pass
    finally:
        for context in contexts:
            context.close()


@pytest.fixture
def console(open_console: Callable[[str], Console], stack: Stack) -> Console:
    """The console of the stack, where no key is needed."""
    return open_console(stack.url)
