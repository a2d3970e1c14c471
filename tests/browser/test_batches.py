"""The page Batches: live progress, failures by reason, download, retry, cancel."""

import pytest
from playwright.sync_api import expect

from tests.support.api_client import Door, Json
from tests.support.broken_pictures import grey_png, undecodable_png
from tests.support.console import Console


def upload(door: Door, *, good: int, bad: int, metadata: str = "{}", model: str = "lit-classification") -> Json:
    files = [("images", (f"scan-{n}.png", grey_png(n))) for n in range(good)]
    files += [("images", (f"broken-{n}.png", undecodable_png(n))) for n in range(bad)]
    answer = door.post("/v1/batches", files=files, data={"model": model, "metadata": metadata})
    assert answer.status_code == 202, answer.text
    found: Json = answer.json()
    return found


@pytest.fixture(scope="module")
def batch(door: Door) -> Json:
    """A batch with failures."""
    return upload(door, good=40, bad=3, metadata='{"name": "Ward 7, Monday"}')


@pytest.mark.usefixtures("batch")
def test_a_batch_is_followed_to_its_end(console: Console) -> None:
    page = console.open("#/batches")
    card = page.get_by_role("link", name="Ward 7, Monday")
    expect(card).to_contain_text("completed")
    console.look("batches")
    card.click()
    expect(page.get_by_role("region", name="Progress")).to_contain_text("100%")
    expect(page.get_by_role("link", name="undecodable_image 3")).to_be_visible()
    console.look("batch")
    page.get_by_role("link", name="undecodable_image 3").click()
    expect(page.get_by_role("list", name="Predictions, newest first").get_by_role("listitem")).to_have_count(3)


@pytest.mark.parametrize(("button", "first"), [("CSV", "custom_id,id,status"), ("NDJSON", '{"custom_id":')])
def test_results_are_downloaded(console: Console, batch: Json, button: str, first: str) -> None:
    page = console.open(f"#/batches/{batch['id']}")
    with page.expect_download() as waiting:
        page.get_by_role("button", name=button, exact=True).click()
    text = waiting.value.path().read_text()
    assert text.startswith(first)
    assert len(text.splitlines()) in (43, 44)


def test_failures_are_retried_as_a_new_batch(console: Console, batch: Json) -> None:
    page = console.open(f"#/batches/{batch['id']}")
    page.get_by_role("button", name="Retry failed").click()
    page.get_by_role("dialog").get_by_role("button", name="Retry").click()
    expect(page.get_by_role("link", name="the failures of another batch")).to_be_visible()
    expect(page.get_by_role("region", name="Progress")).to_contain_text("3 of 3 pictures")


def test_a_batch_is_canceled(console: Console, door: Door) -> None:
    waiting = upload(door, good=200, bad=0, metadata='{"name": "Too much"}', model="lit-segmentation")
    page = console.open(f"#/batches/{waiting['id']}")
    expect(page.get_by_role("heading", name="Too much")).to_be_visible()
    cancel = page.get_by_role("button", name="Cancel", exact=True)
    if cancel.is_visible():  # a fast machine may have computed all of them by now
        cancel.click()
        page.get_by_role("dialog").get_by_role("button", name="Cancel it").click()
    status = door.http.get(f"/v1/batches/{waiting['id']}").json()["status"]
    expect(page.locator("h1 .badge")).to_have_text(status)
    assert status in ("canceled", "completed")
