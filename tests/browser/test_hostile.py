"""What anybody may write, in every place of every page: labels, names, metadata, errors, addresses.

Each answer of the API is changed on its way to the page: every text and every name that is free is a hostile one.
"""

import itertools
import json
import random
import re
from collections.abc import Callable
from typing import Any, Final

import pytest
from playwright.sync_api import Page, Route, expect

from shared.domain.task import Task
from tests.support.api_client import Door
from tests.support.console import SIZES, Console
from tests.support.extra_processes import ClosedGateway
from tests.support.number_models import picture
from tests.support.receivers import Came, receiving
from tests.support.waiting import until

HOSTILE: Final = (
    "<img src=x onerror=pwned=1>",
    "</script><script>pwned=1</script>",
    '"><svg onload=pwned=1>',
    "javascript:pwned=1//https://a.example",
    "gnp.\u202eexe",
    "pay\u200bpal\u00ad\u2066",
    "nul\0bell\x07\x1b[31mred\x9b2J",
    "line\nend\r\u2028=cmd()",
    "W" * 10_000,
    "\u0301" * 300,
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",  # one emoji of three, with joiners: these stay
    "{{7*7}}${7*7}`x`%s[bold]",
)
# What pages decide by or link to; everything else may be anything.
KEPT: Final = re.compile(
    r"^(id|.*_id|status|state|.*_at|at|event|urls|next|previous|previous_page|task|source|role|severity|variant|subject"
    r"|subject_type|embedding_base64|mask|mask_url|since|until|every_seconds|type|object|confidence|level"
    r"|mean_confidence|kind|phase|username)$"
)
FREE_NAMES: Final = frozenset(
    ("probabilities", "scores", "values", "units", "metadata", "metrics", "parameters", "errors")
)


UNSEEN: Final = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]",
)
ALL_TEXT: Final = """document.body.textContent
    + [...document.querySelectorAll("[title],[aria-label],[alt]")].map((one) => one.title + one.ariaLabel + one.alt)"""


class Distorted:
    """Makes the texts of one answer hostile, each in its turn: the same text gets the same one."""

    def __init__(self) -> None:
        self._turn = itertools.count()
        self._known: dict[str, str] = {}

    def text(self, text: str) -> str:
        if text not in self._known:
            number = next(self._turn)
            self._known[text] = f"{HOSTILE[number % len(HOSTILE)]}{number}"
        return self._known[text]

    def value(self, value: Any, *, within: str = "") -> Any:
        match value:
            case str():
                return self.text(value)
            case list():
                return [self.value(one, within=within) for one in value]
            case dict():
                free = within in FREE_NAMES
                if within == "metrics":  # of a prediction its timings, of a version its training's
                    free = not any(name.endswith("_time") for name in value)
                return {
                    self.text(name) if free else name: one
                    if KEPT.match(name) and not free
                    else self.value(one, within=name)
                    for name, one in value.items()
                }
            case _:
                return value


def distort(page: Page, **more: Any) -> None:
    """Let no text of the API reach the page as it is; `more`: members of each answer beside them."""

    def answer(route: Route) -> None:
        found = route.fetch()
        if "json" not in found.headers.get("content-type", "") or route.request.method != "GET":
            route.fulfill(response=found)
            return
        body = Distorted().value(found.json())
        route.fulfill(response=found, body=json.dumps(body | more))

    page.route("**/v1/**", answer)


@pytest.fixture(scope="module")
def addresses(door: Door) -> dict[str, str]:
    """Something of each kind to look at: a prediction of each task with everything about it, a batch, a delivery."""
    found = {}

    def refuse(_: Came, before: int) -> tuple[int, dict[str, str], bytes]:  # noqa: ARG001  the form of an answer
        return 410, {}, "gone \x1b[31m\u202e<b>".encode()

    with receiving(refuse) as receiver:
        image = picture(random.randrange(1 << 20) * 12 + 1)
        for task in Task:
            given = {"metadata": json.dumps({"patient": "42", "tags": ["a"]}), "webhook": receiver.url}
            found[f"prediction of {task}"] = "predictions/" + door.accepted(image, model=str(task), **given)
        id = found["prediction of classification"].split("/")[1]
        door.ended(id)
        said = {"label": "cat", "by": "ann", "comment": "clearly"}
        until(lambda: door.http.post(f"/v1/predictions/{id}/feedback", json=said).is_success, what="its row is there")
        files = [("images", ("a.png", image, "image/png")), ("images", ("b.png", image[:200], "image/png"))]
        made = door.http.post("/v1/batches", files=files, data={"model": "classification", "metadata": '{"name": "b"}'})
        batch = made.json()["id"]
        ended = lambda: door.http.get(f"/v1/batches/{batch}").json()["completed_at"]  # noqa: E731
        until(ended, what="the batch ends")
        found["batch"] = f"batches/{batch}"
        sent = lambda: door.http.get("/v1/webhook-deliveries", params={"subject": id}).json()["results"]  # noqa: E731
        until(lambda: any(one["status"] == "exhausted" for one in sent()), what="a delivery is given up")
        found["delivery"] = f"webhooks/{sent()[0]['id']}"
    return found


WHERE: Final = (
    *(f"prediction of {task}" for task in Task),
    *(
        "batch",
        "delivery",
        "predictions",
        "batches",
        "models",
        "models/classification",
        "now",
        "webhooks",
        "keys",
        "try",
    ),
)


@pytest.mark.parametrize("where", WHERE)
def test_what_anybody_may_write_is_shown_and_does_nothing(
    console: Console, addresses: dict[str, str], where: str
) -> None:
    page = console.page
    distort(page)
    console.expect("status of 404")  # of a model's report, whose name is another here
    console.open(f"#/{addresses.get(where, where)}")
    expect(page.get_by_text("Loading")).to_have_count(0)
    if where not in ("keys", "try"):
        expect(page.locator("body")).to_contain_text(re.compile(r"pwned|WWWW|\\u202e|\\u200b|cmd\(\)"))
    harmless(page)
    for size in ("desktop", "small"):
        width, height = SIZES[size]
        page.set_viewport_size({"width": width, "height": height})
        console.fits()
    page.unroute_all(behavior="ignoreErrors")


def harmless(page: Page) -> None:
    """Fail if a text has become an element, a link does something, or something is there that is not seen."""
    assert page.evaluate("window.pwned") is None
    assert page.locator("main img[src='x'], main svg[onload], body script:not([type=module])").count() == 0
    links = page.evaluate("[...document.querySelectorAll('a')].map((link) => link.href).filter(Boolean)")
    assert all(link.startswith(("http://", "https://")) for link in links), links
    unseen = UNSEEN.findall(page.evaluate(ALL_TEXT))
    assert not unseen, [hex(ord(one)) for one in unseen]


ADDRESSES: Final = (
    *("#/predictions/.", "#/predictions/..", "#/predictions/..%2F..%2Fapi-keys", "#/predictions/%00%E2%80%AE"),
    *("#/predictions/00000000-0000-0000-0000-000000000000", "#/batches/nothing", "#/batches/.", "#/models/%E0%A4%A"),
    *("#/models/..", "#/models/no/such", "#/webhooks/nothing", "#/try?model=javascript:pwned=1", "#/%", "#/try/%ff"),
    *("#/predictions?status=<svg>&min_confidence=high&batch_id=x", "#/predictions?metadata==", "#/__proto__", "#//"),
    "#/now?a=%E0%A4%A&a=2",
)


def test_an_address_of_nothing_says_so_and_the_console_goes_on(console: Console) -> None:
    console.expect("status of 4", "The specified value")
    for address in ADDRESSES:
        page = console.open(address)
        expect(page.get_by_role("main").get_by_text(re.compile("Loading")), address).to_have_count(0)
        harmless(page)
        page.keyboard.press("Escape")  # a delivery is a dialog
        page.get_by_role("navigation", name="Pages").get_by_role("link", name="Models").click()
        expect(page.get_by_role("heading", name="Models", exact=True)).to_be_visible()
        page.go_back()
        page.go_forward()
        expect(page.get_by_role("heading", name="Models", exact=True)).to_be_visible()


BLOCKED: Final = """for (const name of ["sessionStorage", "localStorage"]) {
    Object.defineProperty(window, name, { get() { throw new DOMException("denied", "SecurityError"); } });
}"""


def test_where_the_browser_keeps_nothing_one_signs_in_all_the_same(
    open_console: Callable[[str], Console], closed: ClosedGateway
) -> None:
    console, key = open_console(closed.url), closed.key("ida", "--role", "read")
    console.expect("status of 401")
    console.page.add_init_script(BLOCKED)
    page = console.open("#/models")
    console.sign_in(key)
    expect(page.get_by_role("heading", name="Models", exact=True)).to_be_visible()
    page.get_by_role("button", name="Colours").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Your API key")).to_be_visible()


NO_KEYS: Final = {
    "dk_…": "characters that no key has",
    "dk_one two": "characters that no key has",
    "dk_\u200bhidden": "characters that no key has",
    "Bearer": "key",
    "dk_" + "x" * 5000: "key",
}


def test_what_is_no_key_is_said_to_be_none(open_console: Callable[[str], Console], closed: ClosedGateway) -> None:
    console = open_console(closed.url)
    console.expect("status of 4")
    page = console.open("#/models")
    for key, words in NO_KEYS.items():
        console.sign_in(key)
        expect(page.get_by_role("alert")).to_contain_text(words)
        expect(page.get_by_text("can’t be reached")).to_have_count(0)
    console.sign_in(closed.key("jon", "--role", "read"))
    expect(page.get_by_role("heading", name="Models", exact=True)).to_be_visible()


def test_a_key_that_is_revoked_under_an_open_page_is_asked_for_again(
    open_console: Callable[[str], Console], closed: ClosedGateway
) -> None:
    console, key = open_console(closed.url), closed.key("kim", "--role", "admin")
    console.expect("status of 401")
    page = console.open("#/models")
    console.sign_in(key)
    expect(page.get_by_role("heading", name="Models", exact=True)).to_be_visible()
    closed.stack.darkroom("keys", "revoke", key)
    expect(page.get_by_role("alert")).to_contain_text("key", timeout=20_000)
    expect(page.get_by_label("Your API key")).to_be_visible()
    console.sign_in(closed.key("kim", "--role", "read"))
    expect(page.get_by_role("heading", name="Models", exact=True)).to_be_visible()
