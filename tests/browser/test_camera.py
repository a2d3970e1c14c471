"""Try, with a camera: a picture is taken in a dialog, the camera is off afterwards, only this page may ask."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect

from tests.support.console import SIZES, Console, chromium
from tests.support.stack import Stack
from tests.support.waiting import until

FAKE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
# Keeps every stream that the page gets, so that the test sees whether it was stopped.
WATCH = """(() => {
  const devices = navigator.mediaDevices;
  if (!devices) return;
  const given = devices.getUserMedia.bind(devices);
  window.streams = [];
  devices.getUserMedia = async (wanted) => {
    const stream = await given(wanted);
    window.streams.push(stream);
    return stream;
  };
})()"""
STATES = "streams.flatMap((one) => one.getTracks()).map(({kind, readyState}) => `${kind} ${readyState}`)"


@pytest.fixture(scope="module")
def with_camera(playwright: Playwright) -> Iterator[Browser]:
    """Chromium with a camera that shows a moving figure, and a person who allows it."""
    with chromium(playwright, *FAKE) as browser:
        yield browser


@pytest.fixture
def console(with_camera: Browser, stack: Stack) -> Iterator[Console]:
    """The console in that browser."""
    width, height = SIZES["desktop"]
    context = with_camera.new_context(viewport={"width": width, "height": height})
    context.set_default_timeout(15_000)
    context.add_init_script(WATCH)
    with Console(context, stack.url) as console:
        yield console
    context.close()


def open_camera(console: Console) -> Page:
    page = console.open("#/try?model=classification")
    page.get_by_role("button", name="Use the camera").click()
    expect(page.get_by_role("button", name="Take the picture")).to_be_enabled()
    return page


def test_a_picture_is_taken_and_predicted_and_the_camera_is_off(console: Console) -> None:
    page = open_camera(console)
    assert page.evaluate(STATES) == ["video live"]
    console.look("try-camera")
    page.get_by_role("button", name="Take the picture").click()
    taken = page.get_by_role("article", name="camera-")
    expect(taken).to_contain_text("succeeded")
    expect(taken).to_contain_text("JPEG")
    assert page.evaluate(STATES) == ["video ended"]
    expect(page.get_by_role("dialog")).to_be_hidden()


@pytest.mark.parametrize("way", ["Escape", "Close", "Take none", "another page"])
def test_however_the_dialog_is_left_the_camera_is_off(console: Console, way: str) -> None:
    page = open_camera(console)
    if way == "Escape":
        page.keyboard.press("Escape")
    elif way == "another page":
        page.evaluate("location.hash = '#/batches'")
    else:
        page.get_by_role("dialog").get_by_role("button", name=way).click()
    until(lambda: page.evaluate(STATES) == ["video ended"], what="the camera is off")
    if way != "another page":
        expect(page.get_by_role("button", name="Use the camera")).to_be_focused()


def test_a_camera_that_is_given_after_the_dialog_was_closed_is_turned_off(console: Console) -> None:
    page = console.open("#/try?model=classification")
    page.evaluate("""() => {
      const given = navigator.mediaDevices.getUserMedia;
      navigator.mediaDevices.getUserMedia = async (wanted) => {
        await new Promise((resolve) => (window.allow = resolve));
        return given(wanted);
      };
    }""")
    page.get_by_role("button", name="Use the camera").click()
    expect(page.get_by_text("Waiting for the camera")).to_be_visible()
    page.keyboard.press("Escape")
    page.evaluate("allow()")
    until(lambda: page.evaluate(STATES) == ["video ended"], what="the camera is off")


def test_a_refusal_is_said_and_asked_again(console: Console) -> None:
    page = console.open("#/try?model=classification")
    page.evaluate("""() => {
      const given = navigator.mediaDevices.getUserMedia;
      let refused = false;
      navigator.mediaDevices.getUserMedia = (wanted) => {
        if (refused) return given(wanted);
        refused = true;
        return Promise.reject(new DOMException("Permission denied", "NotAllowedError"));
      };
    }""")
    page.get_by_role("button", name="Use the camera").click()
    expect(page.get_by_role("alert")).to_contain_text("does not let this page use the camera")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("button", name="Take the picture")).to_be_enabled()


def test_the_page_may_ask_for_the_camera_and_for_nothing_else(console: Console) -> None:
    page = console.open()
    policy = page.evaluate("document.featurePolicy.allowedFeatures()")
    assert "camera" in policy
    assert not {"microphone", "geolocation", "display-capture", "usb", "serial", "hid", "payment"} & set(policy)


def test_without_a_camera_none_is_offered(open_console: Callable[[str], Console], stack: Stack) -> None:
    console = open_console(stack.url)
    console.page.add_init_script("navigator.mediaDevices.enumerateDevices = async () => []")
    page = console.open("#/try?model=classification")
    expect(page.get_by_role("button", name="Choose pictures")).to_be_visible()
    expect(page.get_by_role("button", name="Use the camera")).to_have_count(0)


def test_where_the_browser_gives_pages_no_camera_none_is_offered(console: Console) -> None:
    """As on a page that came neither over HTTPS nor from this machine."""
    console.page.add_init_script("Object.defineProperty(navigator, 'mediaDevices', {value: undefined})")
    page = console.open("#/try?model=classification")
    expect(page.get_by_role("button", name="Choose pictures")).to_be_visible()
    expect(page.get_by_role("button", name="Use the camera")).to_have_count(0)
