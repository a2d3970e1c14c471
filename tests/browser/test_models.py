"""The page Models: the list, one model with its versions and report, and what an admin changes."""

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect

from shared.domain.identifiers import ModelName
from tests.support.api_client import Door
from tests.support.console import Console
from tests.support.deferred_imports import deferred
from tests.support.extra_processes import GatewayByHand
from tests.support.pictures import encoded, renewed
from tests.support.stack import Stack
from tests.support.tasks_stack import MLFLOW
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.extra_processes import ClosedGateway

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's store uses it
mlflow_tracking = deferred("mlflow.tracking")
image_module = deferred("PIL.Image")
NAME = ModelName("classification")


@pytest.fixture(scope="module")
def two_versions(stack: Stack, door: Door) -> None:
    """A second version of `classification`, of the same files, which workers know; and predictions of the first."""
    url = stack.environment["DARKROOM_REGISTRY_URL"]
    client = mlflow_tracking.MlflowClient(url, url)
    client.create_model_version(NAME, client.get_model_version_download_uri(NAME, "1"))
    picture = encoded(image_module.new("RGB", (16, 16), (249, 20, 77)), "PNG")
    for _ in range(20):
        door.predicted(renewed(picture), model=NAME)
    versions = lambda: len(door.http.get(f"/v1/models/{NAME}").json()["versions"])  # noqa: E731
    until(lambda: versions() == 2, seconds=60, what="workers know the second version")


def confirm(page: Page, button: str, action: str, said: str) -> None:
    """Open what changes the model, confirm it, and wait until it is said to be done."""
    page.get_by_role("button", name=button).click()
    page.get_by_role("dialog").get_by_role("button", name=action).click()
    expect(page.get_by_text(said)).to_be_visible(timeout=30_000)


def shows(page: Page, traffic: str) -> None:
    """Wait until the page shows it: what an admin confirms is about what the page showed."""
    expect(page.get_by_role("listitem").filter(has_text=traffic)).to_be_visible(timeout=30_000)


@pytest.mark.usefixtures("two_versions")
def test_the_list_leads_to_a_model_with_its_versions(console: Console) -> None:
    page = console.open("#/models")
    expect(page.get_by_role("heading", name=NAME, exact=True)).to_be_visible()
    console.look("models")
    page.get_by_role("link", name=NAME, exact=True).click()
    expect(page.get_by_role("heading", name="Version 2")).to_be_visible()
    expect(page.get_by_role("list").filter(has_text="version 1 (champion) gets 100%").first).to_be_visible()


@pytest.mark.usefixtures("two_versions")
def test_a_models_report_shows_what_it_predicted(console: Console) -> None:
    page = console.open(f"#/models/{NAME}")
    expect(page.get_by_role("rowheader", name="predictions")).to_be_visible(timeout=40_000)
    expect(page.get_by_text("Confidence").first).to_be_visible()
    console.look("model")
    page.get_by_label("Since").select_option("7d")
    expect(page).to_have_url(re.compile("since=7d"))


@pytest.mark.usefixtures("two_versions")
def test_two_versions_stand_side_by_side(console: Console, door: Door) -> None:
    picture = encoded(image_module.new("RGB", (16, 16), (249, 20, 77)), "PNG")
    for number in range(12):
        image = renewed(picture)
        for version in ("1", "2"):
            found = door.predicted(image, model=f"{NAME}:{version}")
            right = found["output"]["predicted_class"] if number < 9 else "dog"
            assert door.post(f"/v1/predictions/{found['id']}/feedback", json={"label": right}).status_code in (200, 201)
    page = console.open(f"#/models/{NAME}")
    figures = page.get_by_role("region", name="Figures of the versions")
    page.get_by_label("Beside").select_option("2 2", timeout=40_000)
    for version in ("version 1 champion", "version 2 2"):
        expect(figures.get_by_role("columnheader", name=version)).to_be_visible(timeout=40_000)
    expect(figures.get_by_role("rowheader", name="accuracy")).to_be_visible(timeout=40_000)
    console.look("model-compared")
    for title, figure in (("Latency, submit to result", "total_ms"), ("Latency in the model", "predict_ms")):
        check_histogram(page, door, title, figure)


def check_histogram(page: Page, door: Door, title: str, figure: str) -> None:
    """Compare the text of a latency histogram, which screen readers read, with the report."""
    versions = door.http.get(f"/v1/models/{NAME}/report").json()["versions"]
    sides = [
        next(one for one in versions if (one["version"], one["variant"]) == side)
        for side in (("1", "champion"), ("2", "2"))
    ]
    bins = [[one["count"] for one in side[figure]["histogram"]] for side in sides]
    filled = [place for place, counts in enumerate(zip(*bins, strict=True)) if any(counts)]
    wanted = [
        [f"{100 * counts[place] / sum(counts):.1f}%" for counts in bins] for place in range(filled[0], filled[-1] + 1)
    ]
    table = page.get_by_role("figure").filter(has_text=title).get_by_role("table")
    rows = table.locator("tbody tr").all()
    assert [row.locator("td").all_inner_texts() for row in rows] == wanted
    named = [row.locator("th").inner_text() for row in rows]
    assert all(re.fullmatch(r"(up to |over |[\d.]+ (ms|s|min) to )[\d.]+ (ms|s|min)", name) for name in named), named


@pytest.mark.usefixtures("two_versions")
def test_each_version_links_to_its_page_in_mlflow(console: Console, door: Door) -> None:
    assert door.http.get("/v1/account").json()["links"]["mlflow"] == MLFLOW
    page = console.open(f"#/models/{NAME}")
    for version in ("1", "2"):
        item = page.locator("li.version").filter(has=page.get_by_role("heading", name=f"Version {version}"))
        link = item.get_by_role("link", name="MLflow")
        expect(link).to_have_attribute("href", f"http://127.0.0.1:5999/mlflow/#/models/{NAME}/versions/{version}")
        expect(link).to_have_attribute("rel", "noopener")
        expect(link).to_have_attribute("target", "_blank")


@pytest.mark.usefixtures("two_versions")
def test_where_no_mlflow_is_named_no_version_links_to_it(
    open_console: "Callable[[str], Console]", stack: Stack
) -> None:
    gateway = GatewayByHand(stack, DARKROOM_LINKS_MLFLOW="")
    try:
        gateway.begin()
        page = open_console(gateway.url).open(f"#/models/{NAME}")
        expect(page.get_by_role("heading", name="Version 2")).to_be_visible()
        expect(page.get_by_role("link", name="MLflow")).to_have_count(0)
    finally:
        gateway.close()


@pytest.mark.usefixtures("two_versions")
def test_an_admin_promotes_rolls_back_and_gives_shares(console: Console, door: Door) -> None:
    aliases = lambda: door.http.get(f"/v1/models/{NAME}").json()["aliases"]  # noqa: E731
    page = console.open(f"#/models/{NAME}")
    page.get_by_role("button", name="Promote…").click()
    expect(page.get_by_text("Version 2 becomes the champion")).to_be_visible()
    console.look("model-promote")
    page.get_by_role("dialog").get_by_role("button", name="Promote it").click()
    expect(page.get_by_text(f"Promoted version 2 of {NAME}, before it was 1.")).to_be_visible(timeout=30_000)
    until(lambda: aliases() == {"champion": "2"}, seconds=60, what="version 2 serves")
    shows(page, "version 2 (champion) gets 100%")
    confirm(page, "Roll back…", "Roll back", f"Rolled {NAME} back from version 2 to 1, its champion before.")
    until(lambda: aliases() == {"champion": "1"}, seconds=60, what="version 1 serves again")
    shows(page, "version 1 (champion) gets 100%")
    confirm(page, "Challenger…", "Begin", f"Version 2 of {NAME} is the challenger and gets 10%")
    confirm(page, "Shadow…", "Begin", f"Version 2 of {NAME} is the shadow")
    expect(page.get_by_role("listitem").filter(has_text="version 2 (challenger) gets 10%")).to_be_visible(
        timeout=60_000
    )
    console.look("model-shares")
    confirm(page, "End challenger", "End it", f"{NAME} has no challenger any more")
    confirm(page, "End shadow", "End it", f"{NAME} has no shadow any more")
    until(lambda: aliases() == {"champion": "1"}, seconds=60, what="the champion has everything again")


@pytest.mark.usefixtures("two_versions")
def test_a_canary_begins_and_is_stopped(console: Console, door: Door) -> None:
    page = console.open(f"#/models/{NAME}")
    confirm(page, "Canary…", "Begin", f"Began: version 2 of {NAME} gets 5%")
    expect(page.get_by_text("Canary:")).to_be_visible(timeout=60_000)
    confirm(page, "Stop canary", "Stop it", f"The canary of {NAME} is stopped")
    aliases = lambda: door.http.get(f"/v1/models/{NAME}").json()["aliases"]  # noqa: E731
    until(lambda: aliases() == {"champion": "1"}, seconds=60, what="the champion has everything again")


def test_who_is_no_admin_changes_nothing(open_console: "Callable[[str], Console]", closed: "ClosedGateway") -> None:
    console = open_console(closed.url)
    console.expect(r"status of 401")
    page = console.open(f"#/models/{NAME}")
    console.sign_in(closed.key("rosa", "--role", "submit"))
    expect(page.get_by_role("heading", name="Versions")).to_be_visible()
    expect(page.get_by_role("button", name="Promote…")).to_have_count(0)


@pytest.fixture
def unloadable(stack: Stack, door: Door) -> "Iterator[str]":
    """A model whose only version has no files, and which workers have tried to load."""
    url, name = stack.environment["DARKROOM_REGISTRY_URL"], "unloadable"
    client = mlflow_tracking.MlflowClient(url, url)
    client.create_registered_model(name)
    client.create_model_version(name, f"{client.get_model_version_download_uri(NAME, '1')}/nothing")
    client.set_registered_model_alias(name, "champion", "1")
    tried = lambda: door.http.get(f"/v1/models/{name}").json().get("failed_versions")  # noqa: E731
    until(tried, seconds=60, what="workers have tried to load it")
    yield name
    client.delete_registered_model(name)


def test_a_version_that_cannot_be_loaded_is_not_one_that_is_loaded_soon(console: Console, unloadable: str) -> None:
    page = console.open(f"#/models/{unloadable}")
    expect(page.get_by_role("region", name="Versions")).to_contain_text("can't be loaded")
    report = page.get_by_role("region", name="Report")
    expect(report).to_contain_text("Nothing predicted in this time")
    expect(report).not_to_contain_text("darkroom submit")


def test_an_unknown_model_is_answered_in_the_apis_words(console: Console) -> None:
    console.expect(r"status of 404")
    page = console.open("#/models/cats")
    expect(page.get_by_role("alert").first).to_contain_text("no model 'cats' is served")


@pytest.fixture
def shadowed(door: Door) -> "Iterator[None]":
    """Version 2 predicts everything that the champion does, and nobody gets its answers."""
    door.post(f"/v1/models/{NAME}/shadow", json={"version": "2", "percent": 100}).raise_for_status()
    shadow = lambda: door.http.get(f"/v1/models/{NAME}").json()["shadow"]  # noqa: E731
    until(lambda: shadow() == {"2": 100}, seconds=60, what="version 2 is the shadow")
    yield
    door.http.delete(f"/v1/models/{NAME}/shadow").raise_for_status()
    until(lambda: not shadow(), seconds=60, what="it is no more")


@pytest.mark.usefixtures("two_versions", "shadowed")
def test_a_shadows_answer_stands_beside_the_champions(console: Console, door: Door) -> None:
    picture = encoded(image_module.new("RGB", (16, 16), (249, 20, 77)), "PNG")
    page = console.open(f"#/predictions/{door.predicted(renewed(picture), model=NAME)['id']}")
    answer = page.get_by_role("region", name="The answer")
    shadow = page.get_by_role("region", name="The shadow's answer, version 2")
    expect(shadow.get_by_text("agrees", exact=True)).to_be_visible(timeout=30_000)
    expect(answer.get_by_role("heading", name="champion, version 1")).to_be_visible()
    assert shadow.locator(".answer").inner_text() == answer.locator(".answer").inner_text()
    console.look("prediction-shadow")
    page.goto(f"{console.url}/#/try?model={NAME}")
    file = {"name": "it.png", "mimeType": "image/png", "buffer": renewed(picture)}
    page.get_by_label("Choose pictures").set_input_files([file])
    part = page.get_by_role("article", name="it.png")
    expect(part.get_by_role("region", name="The shadow's answer, version 2")).to_be_visible(timeout=30_000)
    console.look("try-shadow")
