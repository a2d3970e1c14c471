import contextlib
import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from cli.bulk.batches import Batch
from cli.bulk.meter import Meter
from cli.bulk.results import Tally
from cli.bulk.run import bulk, summary
from cli.terminal.refused import Refused
from tests.component.cli.bulk.stub_gateway import (
    ANSWER_LOST,
    BROKEN,
    BUSY,
    BulkGateway,
    Fault,
    bulk_gateway,
    refused,
)

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("DARKROOM_")}


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[BulkGateway]:
    with bulk_gateway() as server:
        monkeypatch.setenv("DARKROOM_URL", server.url)
        yield server


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with three images, and beside it an archive with two: two parts."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(b"%d" % number)
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        for name in ("x.png", "y.png"):
            archive.writestr(name, name)
    return folder


@pytest.fixture
def both(images: Path, tmp_path: Path) -> list[Path]:
    return [images, tmp_path / "more.zip"]


@pytest.fixture
def send(home: Path) -> Callable[..., int]:
    def send(
        *paths: Path,
        model: str | None = None,
        webhook: str | None = None,
        out: Path | None = None,
        resume: bool = False,
    ) -> int:
        return bulk(home, paths, model=model, webhook=webhook, out=out, resume=resume, wait=briefly)

    return send


def briefly(event: threading.Event, seconds: float) -> bool:
    """Wait for a fiftieth of the time: the gateway of these tests is ready sooner."""
    return event.wait(seconds / 50)


@contextlib.contextmanager
def started(server: BulkGateway, home: Path, *arguments: object) -> Iterator["subprocess.Popen[str]"]:
    environment = ENVIRONMENT | {"DARKROOM_URL": server.url, "DARKROOM_HOME": str(home)}
    command = [sys.executable, "-m", "cli.main", "bulk", *map(str, arguments)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        yield process


def wait_until_noted(home: Path, *, parts: int) -> None:
    until = time.monotonic() + 60
    while sum(path.read_bytes().count(b"\n") for path in home.glob("bulk/*.jsonl")) <= parts:
        assert time.monotonic() < until
        time.sleep(0.01)


def sent(server: BulkGateway) -> list[list[str]]:
    return [batch.names for batch in server.state.batches.values()]


WEBHOOK = "http://127.0.0.1:9000/"
IMAGES = ["images/0.png", "images/1.png", "images/2.png"]


def test_a_folder_is_one_archive_with_its_names_and_all_is_well(
    gateway: BulkGateway, images: Path, send: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert send(images, model="digits") == 0
    assert sent(gateway) == [IMAGES]
    assert gateway.state.posts[0].model == "digits"
    assert re.fullmatch(r"3 of 3 succeeded in [\d.]+ s \([\d,]+ images/s\)\n", capsys.readouterr().out)


def test_an_archive_is_sent_as_it_is(gateway: BulkGateway, tmp_path: Path, send: Callable[..., int]) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("1.png"), io.BytesIO())
    assert send(tmp_path / "a.tar.gz") == 0
    assert gateway.state.posts[0].archive == (tmp_path / "a.tar.gz").read_bytes()
    assert sent(gateway) == [["1.png"]]


def test_a_webhook_goes_along_with_every_batch(
    gateway: BulkGateway, both: list[Path], send: Callable[..., int]
) -> None:
    assert send(*both, webhook=WEBHOOK) == 0
    assert [post.webhook for post in gateway.state.posts] == [WEBHOOK, WEBHOOK]


def test_a_large_folder_is_split(gateway: BulkGateway, tmp_path: Path, send: Callable[..., int]) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(5_001):
        (folder / f"{number:04}.png").touch()
    assert send(folder) == 0
    assert [len(names) for names in sent(gateway)] == [5_000, 1]
    assert len({name for names in sent(gateway) for name in names}) == 5_001


def test_failures_are_named_the_first_ten_and_clutter_is_counted(
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
def test_tables_that_were_skipped_are_named_the_first_five(
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


def test_a_gateway_of_the_version_before_names_no_skipped_files() -> None:
    counts = {"total": 1, "succeeded": 1, "failed": 0, "canceled": 0}
    answer = {"id": "b", "status": "completed", "skipped": 2, "completed_at": None, "request_counts": counts}
    assert Batch.of(answer).skipped_files == ()
    assert Batch.of(answer | {"skipped_files": ["labels.csv"]}).skipped_files == ("labels.csv",)


@pytest.mark.parametrize("given", ["none", "empty"])
def test_nothing_to_send_is_one_line_and_nothing_is_sent(
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


def test_results_that_can_not_be_written_are_told_before_anything_is_sent(
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


def test_an_upload_whose_first_try_is_still_being_read_is_waited_for_and_not_sent_again(
    gateway: BulkGateway, images: Path, send: Callable[..., int]
) -> None:
    conflict = refused(409, "still being read", first_id="batch0")
    gateway.state.faults = [ANSWER_LOST, conflict]
    assert send(images) == 0
    assert len(gateway.state.posts) == 2
    assert sent(gateway) == [IMAGES]


def test_an_upload_whose_first_try_came_to_nothing_is_sent_again(
    gateway: BulkGateway, images: Path, send: Callable[..., int]
) -> None:
    gateway.state.faults = [refused(409, "still being read", first_id="gone"), refused(409, "still being read")]
    assert send(images) == 0
    assert len(gateway.state.posts) == 3
    assert sent(gateway) == [IMAGES]


def test_what_a_gateway_declines_is_told_in_its_words(
    gateway: BulkGateway, images: Path, send: Callable[..., int]
) -> None:
    gateway.state.faults = [refused(404, "no model 'nope' is served; there is digits")]
    with pytest.raises(Refused, match=r"^no model 'nope' is served; there is digits$"):
        send(images, model="nope")
    assert len(gateway.state.posts) == 1


def test_nobody_there_is_told_at_once(images: Path, send: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_URL", "http://127.0.0.1:1")
    with pytest.raises(Refused, match=r"^Nothing answers at http://127\.0\.0\.1:1 \(ConnectError\)$"):
        send(images)


def test_an_archive_that_is_refused_does_not_stop_the_rest(
    gateway: BulkGateway, both: list[Path], send: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.state.faults = [None, refused(422, "the archive is refused: a path with '..' in it")]
    assert send(*both) == 1
    said = capsys.readouterr().out
    assert "more.zip  not taken  the archive is refused: a path with '..' in it\n" in said
    assert said.splitlines()[-1].endswith("; 1 not sent")
    assert sent(gateway) == [IMAGES]


def test_a_file_that_the_gateway_refuses_in_an_archive_is_left_out_and_the_rest_is_sent(
    gateway: BulkGateway, images: Path, send: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.state.faults = [refused(422, "the archive is refused: an archive", entry="images/1.png")]
    assert send(images) == 1
    assert sent(gateway) == [["images/0.png", "images/2.png"]]
    assert "images/1.png  not taken  the archive is refused: an archive\n2 of 3 succeeded" in capsys.readouterr().out


def test_a_gateway_that_takes_no_more_is_not_sent_the_rest_but_watched_to_the_end(
    gateway: BulkGateway, both: list[Path], send: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.state.faults = [None, refused(401, "this key is over")]
    assert send(*both) == 1
    said = capsys.readouterr().out
    assert (
        "more.zip  not sent  this key is over. Set DARKROOM_API_KEY to one; darkroom keys create NAME makes it\n3 of 4"
        in said
    )
    assert len(gateway.state.posts) == 2


def test_a_file_that_can_not_be_read_is_told_and_the_rest_goes_on(
    gateway: BulkGateway, images: Path, send: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "gone.png").symlink_to(images / "nothing")
    assert send(images) == 1
    assert sent(gateway) == [IMAGES]
    first, last = capsys.readouterr().out.splitlines()
    assert first == "images/gone.png  not read  No such file or directory"
    assert last.startswith("3 of 4 succeeded")
    assert last.endswith("; 1 failed")


@pytest.mark.parametrize("fault", [BROKEN, ANSWER_LOST], ids=["before it was taken", "after it was taken"])
def test_a_killed_upload_is_resumed_without_sending_it_twice(
    gateway: BulkGateway, both: list[Path], home: Path, send: Callable[..., int], fault: Fault
) -> None:
    killed = threading.Event()
    gateway.state.faults = [None, Fault(taken=fault.taken, wait=killed)]
    with started(gateway, home, *both) as process:
        for _ in range(2):
            assert gateway.state.posted.acquire(timeout=60)
        # The second is sent once the first is noted.
        process.kill()
    killed.set()
    assert send(*both, resume=True) == 0
    assert sent(gateway) == [IMAGES, ["x.png", "y.png"]]
    assert [post.names for post in gateway.state.posts] == [IMAGES, ["x.png", "y.png"], ["x.png", "y.png"]]
    assert gateway.state.posts[1].key == gateway.state.posts[2].key


def test_an_interrupted_run_says_how_to_go_on_and_that_line_does(
    gateway: BulkGateway, both: list[Path], home: Path
) -> None:
    gateway.state.predicting.clear()
    with started(gateway, home, *both, "--webhook", WEBHOOK) as process:
        wait_until_noted(home, parts=2)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.startswith("\nStopped watching; what was sent goes on. Go on with: ")
    assert f"bulk {both[0]} {both[1]} --webhook {WEBHOOK} --resume" in said
    gateway.state.predicting.set()
    with started(gateway, home, *both, "--resume") as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert said.splitlines()[0] == "4 of 4 files are there already."
    assert len(gateway.state.posts) == 2


def test_resuming_a_run_that_is_done_sends_nothing_and_says_so(
    gateway: BulkGateway, both: list[Path], send: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert send(*both, resume=True) == 0
    capsys.readouterr()
    assert send(*both, resume=True) == 0
    assert len(gateway.state.posts) == 2
    assert capsys.readouterr().out == "4 of 4 files are there already.\n5 of 5 succeeded\n"


def test_without_resume_everything_is_sent_under_new_keys(
    gateway: BulkGateway, images: Path, send: Callable[..., int]
) -> None:
    assert send(images) == send(images) == 0
    first, second = gateway.state.posts
    assert first.key != second.key


def test_resuming_sends_what_failed_changed_or_is_new(
    gateway: BulkGateway, images: Path, send: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "a.txt").touch()
    assert send(images) == 1
    (images / "1.png").write_bytes(b"another picture")
    (images / "new.png").touch()
    out = tmp_path / "results.csv"
    assert send(images, resume=True, out=out) == 1
    # What was sent before comes in parts of its own.
    assert sent(gateway)[1:] == [["images/1.png", "images/new.png"], ["images/a.txt"]]
    assert capsys.readouterr().out.splitlines()[-1].startswith("4 of 5 succeeded")
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["custom_id"]: row["id"] for row in rows} == {
        "images/0.png": "batch0-0",
        "images/2.png": "batch0-2",
        "images/1.png": "batch1-0",
        "images/new.png": "batch1-1",
        "images/a.txt": "batch2-0",
    }
    assert len(rows) == 5


def test_what_is_refused_when_it_is_sent_again_counts_as_it_was_before(
    gateway: BulkGateway, images: Path, send: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "a.txt").touch()
    assert send(images) == 1
    gateway.state.faults = [refused(413, "the archive is too large")]
    assert send(images, resume=True) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "3 of 4 succeeded; 1 failed"


def test_resuming_sends_what_a_canceled_batch_left_under_a_new_key(
    gateway: BulkGateway, both: list[Path], send: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.state.predicting.clear()
    canceler = threading.Thread(target=lambda: _cancel_all(gateway, parts=2))
    canceler.start()
    assert send(*both) == 1
    canceler.join()
    assert capsys.readouterr().out.splitlines()[-1].endswith("; 5 canceled")
    gateway.state.predicting.set()
    assert send(*both, resume=True) == 0
    assert len({post.key for post in gateway.state.posts}) == 4
    assert capsys.readouterr().out.splitlines()[-1].startswith("5 of 5 succeeded")


def _cancel_all(gateway: BulkGateway, *, parts: int) -> None:
    for _ in range(parts):
        assert gateway.state.posted.acquire(timeout=60)
    for batch in gateway.state.batches.values():
        batch.canceled = True


def test_resuming_sends_what_the_gateway_has_forgotten(
    gateway: BulkGateway, both: list[Path], send: Callable[..., int]
) -> None:
    assert send(*both) == 0
    del gateway.state.batches["batch0"]
    assert send(*both, resume=True) == 0
    assert sent(gateway) == [["x.png", "y.png"], IMAGES]


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


def test_results_and_home_in_the_folder_itself_are_not_sent(
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
def test_results_are_json_lines_where_the_name_says_so_and_any_name_survives(
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


def test_without_a_terminal_there_is_a_line_every_five_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    now = 100.0
    meter = Meter(Console(file=io.StringIO()), before=10, clock=lambda: now)
    with meter:
        for now in (102.0, 104.9, 105.0, 109.0, 110.0):
            meter.show(done=1_010 + int(now), total=None if now < 110 else 2_000, is_sending=now < 110)
    said = capsys.readouterr().out
    assert said == "sending: 1,115 done, 221 images/s\npredicting: 1,120 of 2,000 done, 111 images/s\n"


def test_in_a_terminal_there_is_a_bar_with_speed_and_counts() -> None:
    screen = io.StringIO()
    with Meter(Console(file=screen, force_terminal=True, width=120)) as meter:
        meter.show(done=310, total=1_200, is_sending=True)
        meter.show(done=1_200, total=1_200, is_sending=False)
    drawn = screen.getvalue()
    assert "1,200 of 1,200" in drawn
    assert "images/s" in drawn
    assert "predicting" in drawn


def test_the_summary_has_what_there_is_and_nothing_else() -> None:
    tally = Tally(succeeded=1_198, failed=1, not_read=1, skipped=3)
    said = summary(tally, seconds=12.34, predicted=1_199)
    assert said == "1,198 of 1,200 succeeded in 12.3 s (97 images/s); 2 failed, 3 skipped"
    assert summary(Tally(succeeded=5), seconds=0.1, predicted=0) == "5 of 5 succeeded"
