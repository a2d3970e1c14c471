"""Try: pictures given in every way, what is shown of each answer, the same call as code, feedback, troubles.

Over 300 lines: all of its tests share the page and its pictures.
"""

import base64
import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, Request, expect

from shared.domain.task import Task
from tests.support.api_client import Door
from tests.support.console import Console
from tests.support.extra_processes import ClosedGateway
from tests.support.number_models import expected, picture
from tests.support.pictures import encoded
from tests.support.stack import Stack
from tests.support.waiting import until


def fresh(remainder: int = 1) -> int:
    """Return a number whose picture nobody has sent, so that no answer is from the cache."""
    return random.randrange(1, 1 << 20) * 12 + remainder


def given(name: str, content: bytes, kind: str = "image/png") -> dict[str, Any]:
    """Return a file as Playwright hands it to a page."""
    return {"name": name, "mimeType": kind, "buffer": content}


def open_try(console: Console, model: str = "classification") -> Page:
    page = console.open(f"#/try?model={model}")
    expect(page.get_by_role("button", name="Choose pictures")).to_be_visible()
    return page


def choose(page: Page, *files: dict[str, Any]) -> None:
    page.get_by_label("Choose pictures").set_input_files(list(files))


def detail(page: Page, name: str) -> Locator:
    return page.get_by_role("article", name=name)


def seen(page: Page, name: str, words: str) -> Locator:
    """Wait until the picture's part of the page has the words, and return it."""
    part = detail(page, name)
    expect(part).to_contain_text(words)
    return part


def test_nothing_yet_explains_itself_and_offers_a_sample(console: Console) -> None:
    page = open_try(console, "lit-classification")
    expect(page.get_by_text("Drop pictures here, or paste one")).to_be_visible()
    console.look("try-empty")
    page.get_by_role("button", name="Try a sample").click()
    seen(page, "sample-7.png", "succeeded")


def test_a_picture_is_predicted_and_everything_about_it_is_shown(console: Console, door: Door) -> None:
    page, number = open_try(console), fresh(2)
    choose(page, given("a dog.png", picture(number)))
    part = seen(page, "a dog.png", "succeeded")
    expect(part.get_by_role("list", name="Probabilities").get_by_role("listitem").first).to_contain_text(
        "dog (predicted)"
    )
    expect(part).to_contain_text(f"PNG · 16 × 12 · {len(picture(number))} B · classification:1")
    timings = part.get_by_role("list", name="Timings")
    for name in ("Queued", "Decoded", "Predicted", "In all"):
        expect(timings).to_contain_text(re.compile(rf"{name}\s*[\d.]+ m?s"))
    link = part.get_by_role("link", name="The prediction’s page").get_attribute("href")
    assert link
    found = door.http.get(f"/v1/predictions/{link.split('/')[-1]}").json()
    assert (found["output"]["predicted_class"], found["input"]["image"]["filename"]) == ("dog", "a dog.png")
    part.get_by_text("The whole answer").click()
    expect(part.get_by_role("group", name="The output")).to_contain_text("predicted_class")
    console.look("try")


TOLD = {
    Task.CLASSIFICATION: "cat (predicted)",
    Task.MULTILABEL: "none, bird",
    Task.REGRESSION: "cm",
    Task.EMBEDDING: "3 dimensions",
    Task.DETECTION: "Nothing found",
    Task.SEGMENTATION: "cat 100.0%",
    Task.JSON: "number",
}


@pytest.mark.parametrize("task", list(Task))
def test_each_task_has_its_own_picture_of_an_answer(console: Console, task: Task) -> None:
    page, number = open_try(console, str(task)), 0b1001 + 4 * 36 * random.randrange(1, 40_000)
    if task is Task.DETECTION:
        number = fresh(0)
    elif task is not Task.MULTILABEL:
        number = fresh(1)
    choose(page, given(f"{task}.png", picture(number)))
    part = seen(page, f"{task}.png", "succeeded")
    answer = " ".join(part.inner_text().split())
    assert TOLD[task] in answer.replace("\n", " "), (answer, expected(task, number))
    console.look(f"try-{task}")


def test_boxes_are_where_they_belong_and_can_be_left_out(console: Console) -> None:
    page = open_try(console, "detection")
    choose(page, given("two.png", picture(fresh(5))))
    part = seen(page, "two.png", "succeeded")
    boxes, whole = part.locator(".picture-box"), part.locator(".picture")
    expect(boxes).to_have_count(2)
    around, box = whole.bounding_box(), boxes.first.bounding_box()
    assert around
    assert box
    # The picture has 16 × 12 pixels, the box the left upper quarter.
    assert abs(box["width"] / around["width"] - 0.5) < 0.02
    assert abs(box["height"] / around["height"] - 0.5) < 0.02
    expect(part.get_by_role("list", name="Found").get_by_role("listitem").first).to_contain_text("75.0%")
    part.get_by_role("checkbox", name="cat").uncheck()
    expect(boxes).to_have_count(0)


def test_a_mask_is_painted_over_the_picture_class_by_class(console: Console) -> None:
    console.expect("willReadFrequently")  # this test reads pixels, the page does not
    page = open_try(console, "lit-segmentation")
    half = Image.new("RGB", (16, 16))
    half.paste((255, random.randrange(255), random.randrange(255)), (8, 0, 16, 16))
    choose(page, given("half.png", encoded(half, "PNG")))
    part = seen(page, "half.png", "succeeded")
    expect(part.get_by_role("checkbox", name="lit 50.0%")).to_be_checked()
    opacity = "canvas => canvas.getContext('2d').getImageData(14, 8, 1, 1).data[3]"
    until(lambda: part.locator("canvas").evaluate(opacity) > 100, what="the mask is painted")
    part.get_by_role("checkbox", name="lit").uncheck()
    until(lambda: part.locator("canvas").evaluate(opacity) == 0, what="the class is left out")


def test_a_pipeline_shows_what_each_model_answered(console: Console) -> None:
    page = open_try(console, "lit-boxed")
    lit = Image.new("RGB", (16, 16), (255, random.randrange(255), random.randrange(255)))
    choose(page, given("all.png", encoded(lit, "PNG")))
    part = seen(page, "all.png", "succeeded")
    steps = part.get_by_role("region", name="What each model answered")
    expect(steps).to_contain_text("lit-detection:1")
    expect(steps.get_by_text("Crop 4")).to_be_visible()
    console.look("try-pipeline")


def test_neighbours_are_the_nearest_pictures_of_the_page(console: Console) -> None:
    page = open_try(console, "embedding")
    choose(page, *(given(f"{number}.png", picture(number)) for number in (1, 2, 4000)))
    part = seen(page, "1.png", "Nearest on this page")
    names = part.get_by_role("region", name="Nearest pictures on this page").get_by_role("listitem")
    expect(names).to_have_count(2)
    expect(names.first).to_contain_text("2.png")


def as_transfer(page: Page, name: str, content: bytes) -> Any:
    """Return a handle of a DataTransfer that holds a file."""
    make = """([name, text]) => {
      const transfer = new DataTransfer();
      const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
      transfer.items.add(new File([bytes], name, {type: "image/png"}));
      return transfer;
    }"""
    return page.evaluate_handle(make, [name, base64.b64encode(content).decode()])


def test_pictures_are_dropped_and_pasted(console: Console) -> None:
    page = open_try(console)
    transfer = as_transfer(page, "dropped.png", picture(fresh()))
    page.dispatch_event("main", "dragenter", {"dataTransfer": transfer})
    expect(page.get_by_text("Let go: they are predicted at once")).to_be_visible()
    page.dispatch_event("main", "drop", {"dataTransfer": transfer})
    seen(page, "dropped.png", "succeeded")
    paste = (
        "transfer => document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: transfer, cancelable: true}))"
    )
    page.evaluate(paste, as_transfer(page, "pasted.png", picture(fresh())))
    seen(page, "pasted.png", "succeeded")


def test_a_folder_gives_its_pictures_and_nothing_else(console: Console, tmp_path: Path) -> None:
    page = open_try(console)
    (tmp_path / "scans" / "inner").mkdir(parents=True)
    for name in ("one.png", "inner/two.png"):
        (tmp_path / "scans" / name).write_bytes(picture(fresh()))
    (tmp_path / "scans" / "notes.txt").write_text("no picture")
    page.get_by_label("Choose a folder").set_input_files(tmp_path / "scans")
    expect(page.get_by_text("2 of 2 done").first).to_be_visible()
    expect(page.get_by_role("list", name="Pictures").get_by_role("listitem")).to_have_count(2)


def test_a_phone_photographs(console: Console) -> None:
    camera = open_try(console).get_by_label("Photograph")
    assert (camera.get_attribute("capture"), camera.get_attribute("accept")) == ("environment", "image/*")


def test_an_archive_is_one_batch(console: Console, door: Door) -> None:
    page, file = open_try(console), io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for index in range(30):
            archive.writestr(f"scans/{index:02}.png", picture(fresh()))
        archive.writestr("scans/notes.txt", "no picture")
        archive.writestr("scans/broken.png", b"no picture")
    choose(page, given("scans.zip", file.getvalue(), "application/zip"))
    part = seen(page, "scans.zip", "31 of 31")
    expect(part).to_contain_text("1 failed")
    expect(part).to_contain_text("One file that is no picture was left out: scans/notes.txt")
    rows = part.get_by_role("region", name="Results").get_by_role("row")
    expect(rows).to_have_count(32)
    expect(rows.nth(1)).to_contain_text("cat, 100.0%")
    link = part.get_by_role("link", name="The batch’s page").get_attribute("href")
    assert link
    assert door.http.get(f"/v1/batches/{link.split('/')[-1]}").json()["status"] == "completed"
    with page.expect_download() as saved:
        part.get_by_role("button", name="Results as CSV").click()
    assert len(saved.value.path().read_text().splitlines()) == 32
    console.look("try-archive")


def test_what_the_browser_cannot_draw_has_a_placeholder(console: Console) -> None:
    page = open_try(console)
    tiff = encoded(Image.new("RGB", (16, 12), (1, random.randrange(255), random.randrange(255))), "TIFF")
    choose(page, given("scan.tif", tiff, "image/tiff"))
    seen(page, "scan.tif", "This browser can’t draw the picture (TIFF); the model can.")


def test_a_refusal_is_in_the_apis_words_beside_its_own_picture(console: Console) -> None:
    console.expect("status of 415")
    page = open_try(console)
    choose(page, given("no.png", b"%PDF-1.4 and more"), given("yes.png", picture(fresh())))
    part = seen(page, "no.png", "a PDF document")
    expect(part.get_by_role("alert")).to_contain_text("Not a supported image")
    with page.context.expect_page() as opened:
        part.get_by_role("link", name="What this means").click()
    expect(opened.value.locator("body")).to_contain_text("Not a supported image")
    opened.value.close()
    page.get_by_role("button", name="yes.png").click()
    seen(page, "yes.png", "succeeded")
    console.look("try-refused")


def test_a_failure_says_what_to_do(console: Console) -> None:
    page, broken = open_try(console), bytearray(picture(fresh()))
    place = broken.index(b"IDAT")
    broken[place + 4 : place + 8] = bytes(4)
    choose(page, given("broken.png", bytes(broken)))
    seen(page, "broken.png", "undecodable_image")
    expect(detail(page, "broken.png")).to_contain_text("save it again")


def test_hundreds_of_pictures_go_up_a_few_at_a_time(console: Console) -> None:
    page, now, most = open_try(console), Counter[str](), Counter[str]()

    def kind(request: Request) -> str:
        return "stream" if "/stream" in request.url else "upload" if request.method == "POST" else "other"

    def begin(request: Request) -> None:
        now[kind(request)] += 1
        most[kind(request)] = max(most[kind(request)], now[kind(request)])

    def end(request: Request) -> None:
        now[kind(request)] -= 1

    page.on("request", begin)
    page.on("requestfinished", end)
    page.on("requestfailed", end)
    choose(page, *(given(f"{index:03}.png", picture(fresh())) for index in range(200)))
    expect(page.get_by_text("200 of 200 done", exact=True)).to_be_visible(timeout=60_000)
    # Two and three, and one more each: the browser tells an end a moment after the page has it.
    assert most["upload"] <= 3
    assert most["stream"] <= 4
    rows = page.get_by_role("list", name="Pictures").get_by_role("listitem")
    assert rows.count() < 40
    expect(rows.first.locator("img")).to_be_visible()


def test_a_lost_connection_is_told_and_what_waits_is_sent_again(console: Console) -> None:
    console.expect("ERR_INTERNET_DISCONNECTED")
    page = open_try(console)
    page.context.set_offline(True)
    choose(page, given("later.png", picture(fresh())))
    seen(page, "later.png", "it is sent again by itself")
    expect(page.get_by_text("The connection to the API is lost")).to_be_visible()
    page.context.set_offline(False)
    seen(page, "later.png", "succeeded")
    expect(page.get_by_text("The connection to the API is lost")).to_be_hidden()


def test_the_prediction_of_a_picture_sent_twice_is_from_the_cache_and_of_another_model_its_own(
    console: Console,
) -> None:
    page, number = open_try(console), fresh(3)
    choose(page, given("bird.png", picture(number)))
    part = seen(page, "bird.png", "bird (predicted)")
    part.get_by_role("button", name="Ask again").click()
    expect(part).to_contain_text("Answered from the cache")
    page.get_by_label("Model").select_option("regression")
    part.get_by_role("button", name="Ask regression").click()
    expect(part).to_contain_text(f"{number / 4:,.6g}".split(".", maxsplit=1)[0].split(",", maxsplit=1)[0])
    expect(part).to_contain_text("regression:1")
    page.get_by_label("Version").select_option(":1")
    expect(part.get_by_role("button", name="Ask regression:1")).to_be_visible()


def test_arrow_keys_go_from_picture_to_picture(console: Console) -> None:
    page = open_try(console)
    choose(page, *(given(f"{name}.png", picture(fresh())) for name in "abc"))
    seen(page, "a.png", "succeeded")
    page.get_by_role("list", name="Pictures").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(detail(page, "c.png")).to_be_visible()
    page.keyboard.press("Home")
    expect(detail(page, "a.png")).to_be_visible()


def test_pictures_stay_while_one_looks_at_other_pages(console: Console) -> None:
    page = open_try(console)
    choose(page, given("stays.png", picture(fresh())))
    seen(page, "stays.png", "succeeded")
    pages = page.get_by_role("navigation", name="Pages", exact=True)
    pages.get_by_role("link", name="Batches").click()
    pages.get_by_role("link", name="Try").click()
    seen(page, "stays.png", "succeeded").get_by_role("button", name="Remove from this page").click()
    expect(page.get_by_text("Drop pictures here, or paste one")).to_be_visible()


def test_a_prediction_is_said_to_be_right_and_then_wrong(console: Console, door: Door) -> None:
    page = open_try(console)
    choose(page, given("cat.png", picture(fresh(1))))
    part = seen(page, "cat.png", "Nobody has said yet what is right.")
    part.get_by_role("button", name="It is right").click()
    expect(part).to_contain_text("Counts now: cat")
    part.get_by_role("button", name="It is wrong").click()
    part.get_by_label("What it is").fill("owl")
    console.check_accessible()
    part.get_by_role("button", name="Save what is right").click()
    expect(part).to_contain_text("Counts now: owl, a class the model does not know")
    link = part.get_by_role("link", name="The prediction’s page").get_attribute("href")
    assert link
    told = door.http.get(f"/v1/predictions/{link.split('/')[-1]}/feedback").json()["results"]
    assert [one["label"] for one in told] == ["owl", "cat"]


@pytest.mark.parametrize(
    ("model", "remainder", "correct"),
    [
        ("multilabel", 5, lambda part: part.get_by_role("group", name="What is in it").get_by_label("cat").check()),
        ("regression", 1, lambda part: part.get_by_label("length (cm)").fill("2.5")),
        (
            "detection",
            5,
            lambda part: part.get_by_role("group", name="Which boxes").get_by_role("checkbox").first.uncheck(),
        ),
        ("json", 1, lambda part: part.get_by_label("What it is").fill("odd")),
    ],
)
def test_feedback_fits_the_task(
    console: Console, model: str, remainder: int, correct: Callable[[Locator], None]
) -> None:
    page = open_try(console, model)
    choose(page, given("it.png", picture(fresh(remainder))))
    part = seen(page, "it.png", "Nobody has said yet what is right.")
    part.get_by_role("button", name="It is right").click()
    expect(part).to_contain_text("Counts now:")
    part.get_by_role("button", name="It is wrong").click()
    correct(part)
    before = part.get_by_text("Counts now:").inner_text()
    part.get_by_role("button", name="Save what is right").click()
    expect(part.get_by_text("Counts now:")).not_to_have_text(before)


COMMANDS = {
    "curl": ["bash", "-c"],
    "Python (replicate)": [sys.executable, "-W", "ignore", "-c"],
    "Python (httpx)": [sys.executable, "-c"],
    "JavaScript": ["node", "--input-type=module", "-e"],
}


def run(name: str, code: str, folder: Path, **environment: str) -> str:
    if shutil.which(COMMANDS[name][0]) is None:
        pytest.skip(f"no {COMMANDS[name][0]} on this machine")
    done = subprocess.run(
        [*COMMANDS[name], code], cwd=folder, capture_output=True, text=True, timeout=90, check=False,
        env=os.environ | environment,
    )  # fmt: skip
    assert done.returncode == 0, code + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        *((name, "classification@champion") for name in COMMANDS),
        ("Python (replicate)", "classification"),
        ("Python (replicate)", "classification:1"),
    ],
)
def test_the_same_call_as_code_runs_as_it_stands(console: Console, tmp_path: Path, name: str, reference: str) -> None:
    page, content = open_try(console, reference), picture(fresh(1))
    file = 'it\'s; a cat, "4".png'
    choose(page, given(file, content))
    part = seen(page, file, "succeeded")
    (tmp_path / file).write_bytes(content)
    part.get_by_role("tab", name=name).click()
    code = part.get_by_role("tabpanel").locator("pre").inner_text()
    assert "cat" in run(name, code, tmp_path)


def test_the_same_call_of_an_archive_runs_too(console: Console, tmp_path: Path) -> None:
    page, file = open_try(console), io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("one.png", picture(fresh()))
    (tmp_path / "some.zip").write_bytes(file.getvalue())
    choose(page, given("some.zip", file.getvalue(), "application/zip"))
    part = seen(page, "some.zip", "1 of 1")
    part.get_by_role("tab", name="curl").click()
    answer = json.loads(run("curl", part.get_by_role("tabpanel").locator("pre").inner_text(), tmp_path))
    assert answer["request_counts"]["total"] == 1
    assert part.get_by_role("tab").count() == 3


def test_code_is_copied(console: Console, stack: Stack) -> None:
    page = open_try(console)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=stack.url)
    choose(page, given("cat.png", picture(fresh())))
    part = seen(page, "cat.png", "succeeded")
    part.get_by_role("button", name="Copy The same call as code, curl").click()
    expect(part.get_by_text("Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("curl -H 'Prefer: wait'")
    assert copied.endswith(f"{stack.url}/v1/predictions")


def test_with_a_key_the_code_reads_it_from_the_environment(
    open_console: Callable[[str], Console], closed: ClosedGateway, tmp_path: Path
) -> None:
    console, key = open_console(closed.url), closed.key("tess", "--role", "submit")
    console.expect("status of 401")
    page, content = console.open("#/try?model=classification"), picture(fresh(1))
    console.sign_in(key)
    (tmp_path / "cat.png").write_bytes(content)
    choose(page, given("cat.png", content))
    part = seen(page, "cat.png", "succeeded")
    part.get_by_role("button", name="It is right").click()
    expect(part).to_contain_text("Counts now: cat (tess)")
    for name in COMMANDS:
        part.get_by_role("tab", name=name).click()
        code = part.get_by_role("tabpanel").locator("pre").inner_text()
        assert key not in code
        assert "cat" in run(name, code, tmp_path, DARKROOM_API_KEY=key)
