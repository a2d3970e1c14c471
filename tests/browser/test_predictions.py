"""The page Predictions: filters in the address, the live list, one prediction in full, cancel and retry."""

import json

import pytest
from playwright.sync_api import expect

from tests.support.api_client import Door
from tests.support.broken_pictures import grey_png, undecodable_png
from tests.support.console import Console
from tests.support.pictures import renewed
from tests.support.receivers import receiving


@pytest.fixture(scope="module")
def seeded(door: Door) -> dict[str, str]:
    """A few predictions of each kind, of images that were never sent; their ids by what they are."""
    ids = {}
    for number in range(30):
        ids[f"digit-{number}"] = door.predicted(
            renewed(grey_png(number)),
            model="lit-classification",
            metadata=json.dumps({"ward": number % 3, "site": "north"}),
        )["id"]
    for task in ("lit-detection", "lit-segmentation", "regression", "embedding"):
        ids[task] = door.predicted(renewed(grey_png(7)), model=task)["id"]
    failed = door.submit(undecodable_png(), headers={"Prefer": "wait=20"}, model="lit-classification")
    assert failed.json()["status"] == "failed", failed.text
    ids["failed"], ids["error"] = failed.json()["id"], failed.json()["error"]
    return ids


def test_filters_stand_in_the_address_and_lead_to_what_matches(console: Console, seeded: dict[str, str]) -> None:
    page = console.open("#/predictions")
    rows = page.get_by_role("list", name="Predictions, newest first").get_by_role("listitem")
    expect(rows.first).to_be_visible()
    console.look("predictions")
    page.get_by_label("State").select_option("failed")
    expect(rows.filter(has_text=seeded["failed"][-6:])).to_be_visible()
    expect(rows.filter(has_text=seeded["failed"][-6:])).to_contain_text(f"undecodable_image {seeded['error']}")
    expect(rows.filter(has_text="succeeded")).to_have_count(0)
    assert "status=failed" in page.url
    page.get_by_role("button", name="Clear 1").click()
    page.get_by_role("button", name="More filters").click()
    page.get_by_label("Metadata").fill("ward=2")
    expect(rows).to_have_count(10)
    console.look("predictions-filtered")
    page.reload()
    expect(page.get_by_label("Metadata")).to_have_value("ward=2")
    expect(rows).to_have_count(10)
    page.get_by_label("Error").select_option("worker_lost")
    expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()


@pytest.mark.usefixtures("seeded")
def test_a_new_prediction_appears_by_itself(console: Console, door: Door) -> None:
    page = console.open("#/predictions")
    rows = page.get_by_role("list", name="Predictions, newest first").get_by_role("link")
    expect(rows.first).to_be_visible()
    id = door.predicted(grey_png(77), model="lit-classification")["id"]
    expect(rows.first).to_have_attribute("href", f"#/predictions/{id}")


@pytest.mark.usefixtures("seeded")
def test_the_keyboard_goes_through_the_list(console: Console) -> None:
    page = console.open("#/predictions?model=lit-classification&status=succeeded")
    expect(page.get_by_role("list", name="Predictions, newest first").get_by_role("link").first).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Life")).to_be_visible()
    first = page.url
    page.keyboard.press("j")
    page.wait_for_function("(before) => location.href !== before", arg=first)
    page.keyboard.press("k")
    page.wait_for_function("(before) => location.href === before", arg=first)
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Life")).to_be_hidden()
    assert page.url.endswith("#/predictions?model=lit-classification&status=succeeded")


def test_one_prediction_in_full(console: Console, seeded: dict[str, str]) -> None:
    page = console.open(f"#/predictions/{seeded['digit-3']}?model=lit-classification")
    whole = page.get_by_role("region", name="The prediction in full")
    for name in ("Created", "Queued", "Started", "Ended", "Recorded"):
        expect(whole.locator(".moment-name", has_text=name)).to_be_visible()
    expect(whole.get_by_text("request_id=")).to_be_visible()
    expect(whole.get_by_role("link", name="ward: 0")).to_have_attribute("href", "#/predictions?metadata=ward%3D0")
    whole.get_by_role("button", name="is right").click()
    expect(whole.locator(".moment-name", has_text="Feedback")).to_be_visible()
    console.look("prediction")


@pytest.mark.parametrize("task", ["lit-detection", "lit-segmentation", "regression", "embedding"])
def test_each_tasks_output_is_drawn(console: Console, seeded: dict[str, str], task: str) -> None:
    page = console.open(f"#/predictions/{seeded[task]}")
    expect(page.get_by_role("region", name="The answer").locator(".output")).to_be_visible()
    console.picture(f"prediction-{task}")
    console.check_accessible()


def test_a_failed_prediction_is_retried(console: Console, seeded: dict[str, str]) -> None:
    page = console.open(f"#/predictions/{seeded['failed']}")
    expect(page.locator(".prediction .notice-bad")).to_contain_text("undecodable_image")
    console.look("prediction-failed")
    page.get_by_role("button", name="Retry").click()
    page.get_by_role("dialog").get_by_role("button", name="Retry").click()
    expect(page.get_by_text("Retry of")).to_be_visible()
    assert seeded["failed"] not in page.url


def test_a_webhooks_attempts_are_shown(console: Console, door: Door) -> None:
    with receiving() as receiver:
        id = door.predicted(grey_png(5), model="lit-classification", webhook=receiver.url)["id"]
        page = console.open(f"#/predictions/{id}")
        expect(page.get_by_role("heading", name="Webhook")).to_be_visible()
        expect(page.locator(".moment-name", has_text="Webhook sent").first).to_be_visible()


def test_what_somebody_else_says_later_counts(console: Console, door: Door, seeded: dict[str, str]) -> None:
    id = seeded["digit-1"]
    page = console.open(f"#/predictions/{id}")
    page.get_by_role("button", name="It is right").click()
    expect(page.get_by_text("Counts now: ")).to_be_visible()
    door.post(f"/v1/predictions/{id}/feedback", json={"label": "owl", "by": "eve"}).raise_for_status()
    expect(page.get_by_text("Counts now: owl (eve)")).to_be_visible()
