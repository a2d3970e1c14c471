import csv
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.component.cli.bulk.runs import IMAGES, WEBHOOK, sent, started, wait_until_noted
from tests.component.cli.bulk.stub_gateway import (
    ANSWER_LOST,
    BROKEN,
    BulkGateway,
    Fault,
    refused,
)
from tests.support.waiting import LIMIT


@pytest.mark.parametrize("fault", [BROKEN, ANSWER_LOST], ids=["before it was taken", "after it was taken"])
def test_a_killed_upload_is_resumed_without_sending_it_twice(
    gateway: BulkGateway, both: list[Path], home: Path, send: Callable[..., int], fault: Fault
) -> None:
    killed = threading.Event()
    gateway.state.faults = [None, Fault(taken=fault.taken, wait=killed)]
    with started(gateway, home, *both) as process:
        for _ in range(2):
            assert gateway.state.posted.acquire(timeout=LIMIT)
        # The second part is sent once the first is in the journal.
        process.kill()
    killed.set()
    assert send(*both, resume=True) == 0
    assert sent(gateway) == [IMAGES, ["x.png", "y.png"]]
    assert [post.names for post in gateway.state.posts] == [IMAGES, ["x.png", "y.png"], ["x.png", "y.png"]]
    assert gateway.state.posts[1].key == gateway.state.posts[2].key


@pytest.mark.slow
def test_an_interrupted_run_prints_a_command_that_resumes_it(
    gateway: BulkGateway, both: list[Path], home: Path
) -> None:
    gateway.state.predicting.clear()
    with started(gateway, home, *both, "--webhook", WEBHOOK) as process:
        wait_until_noted(home, parts=2)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 130
    assert said.startswith("\nInterrupted; what was sent is still predicted. Continue with: ")
    assert f"bulk {both[0]} {both[1]} --webhook {WEBHOOK} --resume" in said
    gateway.state.predicting.set()
    with started(gateway, home, *both, "--resume") as process:
        said, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 0
    assert said.splitlines()[0] == "4 of 4 files are already sent."
    assert len(gateway.state.posts) == 2


def test_resuming_a_finished_run_sends_nothing_and_says_so(
    gateway: BulkGateway, both: list[Path], send: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert send(*both, resume=True) == 0
    capsys.readouterr()
    assert send(*both, resume=True) == 0
    assert len(gateway.state.posts) == 2
    assert capsys.readouterr().out == "4 of 4 files are already sent.\n5 of 5 succeeded\n"


def test_without_resume_everything_is_sent_under_new_keys(
    gateway: BulkGateway, images: Path, send: Callable[..., int]
) -> None:
    assert send(images) == send(images) == 0
    first, second = gateway.state.posts
    assert first.key != second.key


def test_resuming_sends_files_that_failed_changed_or_are_new(
    gateway: BulkGateway, images: Path, send: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "a.txt").touch()
    assert send(images) == 1
    (images / "1.png").write_bytes(b"another picture")
    (images / "new.png").touch()
    out = tmp_path / "results.csv"
    assert send(images, resume=True, out=out) == 1
    # Files sent before are in parts of their own.
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


def test_files_refused_when_sent_again_keep_their_earlier_result(
    gateway: BulkGateway, images: Path, send: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "a.txt").touch()
    assert send(images) == 1
    gateway.state.faults = [refused(413, "the archive is too large")]
    assert send(images, resume=True) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "3 of 4 succeeded; 1 failed"


def test_resuming_sends_a_canceled_batchs_rest_under_a_new_key(
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
        assert gateway.state.posted.acquire(timeout=LIMIT)
    for batch in gateway.state.batches.values():
        batch.canceled = True


def test_resuming_sends_files_the_gateway_no_longer_knows(
    gateway: BulkGateway, both: list[Path], send: Callable[..., int]
) -> None:
    assert send(*both) == 0
    del gateway.state.batches["batch0"]
    assert send(*both, resume=True) == 0
    assert sent(gateway) == [["x.png", "y.png"], IMAGES]
