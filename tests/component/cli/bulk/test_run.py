import csv
import io
import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from cli.bulk.results import Tally
from cli.bulk.run import bulk, summary
from cli.home import command_line
from cli.terminal.meter import Meter
from cli.terminal.refused import Refused
from tests.component.cli.bulk.runs import IMAGES, WEBHOOK, briefly, sent
from tests.component.cli.bulk.stub_gateway import (
    ANSWER_LOST,
    BROKEN,
    BUSY,
    BulkGateway,
    Fault,
    refused,
)


def test_a_folder_is_sent_as_one_archive_with_its_file_names(
    gateway: BulkGateway, images: Path, send: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert send(images, model="digits") == 0
    assert sent(gateway) == [IMAGES]
    assert gateway.state.posts[0].model == "digits"
    assert re.fullmatch(r"3 of 3 succeeded in [\d.]+ s \([\d,]+ images/s\)\n", capsys.readouterr().out)


def test_an_archive_is_sent_unchanged(gateway: BulkGateway, tmp_path: Path, send: Callable[..., int]) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("1.png"), io.BytesIO())
    assert send(tmp_path / "a.tar.gz") == 0
    assert gateway.state.posts[0].archive == (tmp_path / "a.tar.gz").read_bytes()
    assert sent(gateway) == [["1.png"]]


def test_a_webhook_is_sent_with_every_batch(gateway: BulkGateway, both: list[Path], send: Callable[..., int]) -> None:
    assert send(*both, webhook=WEBHOOK) == 0
    assert [post.webhook for post in gateway.state.posts] == [WEBHOOK, WEBHOOK]


def test_a_pipelines_fields_are_sent_with_every_batch_and_tell_runs_apart(
    gateway: BulkGateway, both: list[Path], home: Path, send: Callable[..., int]
) -> None:
    pipeline = {"models": "a,b", "weights": None, "then": '{"model": "c"}', "on_error": "degrade"}
    assert send(*both, pipeline=pipeline) == 0
    given = {name: value for name, value in pipeline.items() if value}
    assert [post.pipeline for post in gateway.state.posts] == [given, given]
    assert send(*both) == 0
    assert [post.pipeline for post in gateway.state.posts[2:]] == [{}, {}]
    assert len(list((home / "bulk").glob("*.jsonl"))) == 2
    assert len({post.key for post in gateway.state.posts}) == 4


def test_a_large_folder_is_split(gateway: BulkGateway, tmp_path: Path, send: Callable[..., int]) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(5_001):
        (folder / f"{number:04}.png").touch()
    assert send(folder) == 0
    assert [len(names) for names in sent(gateway)] == [5_000, 1]
    assert len({name for names in sent(gateway) for name in names}) == 5_001


def test_the_first_ten_failures_are_named_and_clutter_is_counted(
    gateway: BulkGateway, images: Path, send: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(12):
        (images / f"{number:02}.txt").touch()
    (images / ".DS_Store").touch()
    assert send(images) == 1
    *failures, more, last = capsys.readouterr().out.splitlines()
    assert failures == [f"images/{number:02}.txt  failed  this is text" for number in range(10)]
    assert more == "and 2 more"
    assert last.startswith("3 of 15 succeeded in ")
    assert last.endswith("; 12 failed, 1 skipped")
    assert len(gateway.state.posts) == 1


@pytest.mark.usefixtures("gateway")
def test_the_first_five_skipped_files_are_named(
    images: Path, send: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    (images / ".DS_Store").touch()
    (images / "labels.csv").touch()
    assert send(images) == 0
    named, last = capsys.readouterr().out.splitlines()
    assert named == "skipped: images/labels.csv and 1 more"
    assert last.endswith("; 2 skipped")
    (images / ".DS_Store").unlink()
    for number in range(4):
        (images / f"{number}.csv").touch()
    assert send(images) == 0
    assert "skipped: images/0.csv, images/1.csv, images/2.csv, images/3.csv, images/labels.csv\n" in (
        capsys.readouterr().out
    )
    (images / "4\n.csv").touch()
    assert send(images) == 0
    assert "images/4.csv and 1 more\n" in capsys.readouterr().out


@pytest.mark.parametrize("given", ["none", "empty"])
def test_an_empty_folder_is_reported_in_one_line_and_nothing_is_sent(
    gateway: BulkGateway,
    tmp_path: Path,
    images: Path,
    send: Callable[..., int],
    given: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty").mkdir()
    paths = [images] if given == "none" else []
    assert send(*paths, tmp_path / given) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert gateway.state.posts == []


def test_an_unwritable_results_file_is_reported_before_anything_is_sent(
    gateway: BulkGateway, tmp_path: Path, images: Path, send: Callable[..., int]
) -> None:
    assert send(images, out=tmp_path / "none" / "results.csv") == 2
    assert send(images, out=tmp_path) == 2
    assert gateway.state.posts == []


@pytest.mark.parametrize("fault", [BUSY, BROKEN, ANSWER_LOST], ids=["busy", "broken", "answer lost"])
def test_an_upload_that_breaks_is_sent_again_under_its_key_and_counts_once(
    gateway: BulkGateway, images: Path, send: Callable[..., int], fault: Fault
) -> None:
    gateway.state.faults = [fault]
    assert send(images) == 0
    first, second = gateway.state.posts
    assert (first.key, first.archive) == (second.key, second.archive)
    assert sent(gateway) == [IMAGES]


def test_an_upload_still_being_read_is_waited_for_and_not_sent_again(
    gateway: BulkGateway, images: Path, send: Callable[..., int]
) -> None:
    conflict = refused(409, "still being read", first_id="batch0")
    gateway.state.faults = [ANSWER_LOST, conflict]
    assert send(images) == 0
    assert len(gateway.state.posts) == 2
    assert sent(gateway) == [IMAGES]


def test_an_upload_whose_first_attempt_left_nothing_is_sent_again(
    gateway: BulkGateway, images: Path, send: Callable[..., int]
) -> None:
    gateway.state.faults = [refused(409, "still being read", first_id="gone"), refused(409, "still being read")]
    assert send(images) == 0
    assert len(gateway.state.posts) == 3
    assert sent(gateway) == [IMAGES]


def test_a_refusal_is_reported_with_the_gateways_error(
    gateway: BulkGateway, images: Path, send: Callable[..., int]
) -> None:
    gateway.state.faults = [refused(404, "no model 'nope' is served; there is digits")]
    with pytest.raises(Refused, match=r"^no model 'nope' is served; there is digits$"):
        send(images, model="nope")
    assert len(gateway.state.posts) == 1


def test_a_missing_gateway_is_reported_at_once(
    images: Path, send: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_URL", "http://127.0.0.1:1")
    with pytest.raises(Refused, match=r"^Nothing answers at http://127\.0\.0\.1:1 \(ConnectError\)$"):
        send(images)


def test_a_refused_archive_does_not_stop_the_rest(
    gateway: BulkGateway, both: list[Path], send: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.state.faults = [None, refused(422, "the archive is refused: a path with '..' in it")]
    assert send(*both) == 1
    said = capsys.readouterr().out
    assert "more.zip  not taken  the archive is refused: a path with '..' in it\n" in said
    assert said.splitlines()[-1].endswith("; 1 not sent")
    assert sent(gateway) == [IMAGES]


def test_a_file_refused_within_an_archive_is_omitted_and_the_rest_sent(
    gateway: BulkGateway, images: Path, send: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.state.faults = [refused(422, "the archive is refused: an archive", entry="images/1.png")]
    assert send(images) == 1
    assert sent(gateway) == [["images/0.png", "images/2.png"]]
    assert "images/1.png  not taken  the archive is refused: an archive\n2 of 3 succeeded" in capsys.readouterr().out


def test_after_a_refusal_the_rest_is_not_sent_and_accepted_batches_are_awaited(
    gateway: BulkGateway, both: list[Path], home: Path, send: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.state.faults = [None, refused(401, "this key is over")]
    assert send(*both) == 1
    said = capsys.readouterr().out
    make = command_line("keys create NAME", home)
    assert f"more.zip  not sent  this key is over. Set DARKROOM_API_KEY to one. Make one: {make}\n3 of 4" in said
    assert len(gateway.state.posts) == 2


def test_an_unreadable_file_is_reported_and_the_rest_is_sent(
    gateway: BulkGateway, images: Path, send: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "gone.png").symlink_to(images / "nothing")
    assert send(images) == 1
    assert sent(gateway) == [IMAGES]
    first, last = capsys.readouterr().out.splitlines()
    assert first == "images/gone.png  not read  No such file or directory"
    assert last.startswith("3 of 4 succeeded")
    assert last.endswith("; 1 failed")


def test_results_of_all_parts_are_one_table_with_one_header(
    gateway: BulkGateway, both: list[Path], send: Callable[..., int], tmp_path: Path
) -> None:
    out = tmp_path / "results.csv"
    gateway.state.broken_results = 1
    assert send(*both, out=out) == 0
    lines = out.read_text().splitlines()
    assert lines[0].startswith("custom_id,id,status,")
    assert [line.split(",")[0] for line in lines[1:]] == [*IMAGES, "x.png", "y.png"]
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {"more.zip", "results.csv"}


def test_results_and_home_inside_the_folder_are_not_sent(
    gateway: BulkGateway, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(images)
    for _ in range(2):
        home = Path(".darkroom").resolve()
        out = Path("results.csv")
        assert bulk(home, [Path()], model=None, webhook=None, out=out, resume=False, wait=briefly) == 0
    assert {path.name for path in images.iterdir()} >= {".darkroom", "results.csv"}
    assert [post.names for post in gateway.state.posts] == [IMAGES, IMAGES]


@pytest.mark.usefixtures("gateway")
def test_results_are_json_lines_by_file_name_and_keep_any_image_name(
    images: Path, send: Callable[..., int], tmp_path: Path
) -> None:
    odd = 'a\u00a0\u200d,"é.txt'
    (images / odd).touch()
    for out in (tmp_path / "results.ndjson", tmp_path / "results.csv"):
        assert send(images, out=out) == 1
    lines = (tmp_path / "results.ndjson").read_bytes().split(b"\n")[:-1]
    assert [json.loads(line)["custom_id"] for line in lines] == [*IMAGES, f"images/{odd}"]
    with (tmp_path / "results.csv").open(newline="") as file:
        assert [row["custom_id"] for row in csv.DictReader(file)] == [*IMAGES, f"images/{odd}"]


def test_without_a_terminal_progress_is_a_line_every_five_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    now = 100.0
    meter = Meter(Console(file=io.StringIO()), before=10, clock=lambda: now)
    with meter:
        for now in (102.0, 104.9, 105.0, 109.0, 110.0):
            meter.show(
                done=1_010 + int(now), total=None if now < 110 else 2_000, step="sending" if now < 110 else "predicting"
            )
    said = capsys.readouterr().out
    assert said == "sending: 1,115 done, 221 images/s\npredicting: 1,120 of 2,000 done, 111 images/s\n"


def test_in_a_terminal_progress_is_a_bar_with_speed_and_counts() -> None:
    screen = io.StringIO()
    with Meter(Console(file=screen, force_terminal=True, width=120)) as meter:
        meter.show(done=310, total=1_200, step="sending")
        meter.show(done=1_200, total=1_200, step="predicting")
    drawn = screen.getvalue()
    assert "1,200 of 1,200" in drawn
    assert "images/s" in drawn
    assert "predicting" in drawn


def test_the_summary_names_only_counts_above_zero() -> None:
    tally = Tally(succeeded=1_198, failed=1, not_read=1, skipped=3)
    said = summary(tally, seconds=12.34, predicted=1_199)
    assert said == "1,198 of 1,200 succeeded in 12.3 s (97 images/s); 2 failed, 3 skipped"
    assert summary(Tally(succeeded=5), seconds=0.1, predicted=0) == "5 of 5 succeeded"
