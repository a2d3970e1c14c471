"""`darkroom bulk` on the shared stack."""

import csv
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.bulk.journal import journal_path
from shared.domain.identifiers import ANYONE
from shared.queue import keys
from tests.support.api_client import Door
from tests.support.batches import tarred, zipped
from tests.support.breakable_stack import LANE_DEPTH, Breakable, picture
from tests.support.pictures import renewed
from tests.support.waiting import LIMIT, until

if TYPE_CHECKING:
    from tests.support.stack import Stack

SUMMARY = re.compile(
    r"(?P<succeeded>[\d,]+) of (?P<total>[\d,]+) succeeded in [\d.]+ s \([\d,]+ images/s\)(?P<rest>.*)"
)


def fill(folder: Path, stack: "Stack", *, count: int) -> Path:
    """Write so many new digits, each in a folder named for its label."""
    scans = [path for path in stack.images if re.fullmatch(r"\d-\d+", path.stem)]
    for number in range(count):
        scan = scans[number * 37 % len(scans)]
        path = folder / scan.name[0] / f"{number:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(renewed(scan.read_bytes()))
    return folder


def last_line(said: str) -> "re.Match[str]":
    found = SUMMARY.fullmatch(said.splitlines()[-1])
    assert found is not None, said
    return found


def rows(out: Path) -> list[dict[str, str]]:
    with out.open(newline="") as file:
        return list(csv.DictReader(file))


def total_batches(door: Door) -> int:
    return len(door.get("/v1/batches", params={"limit": 1000})["results"])


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder.parent).as_posix() for path in folder.rglob("*.*"))


def test_a_folder_is_predicted_and_its_results_written_as_a_table(stack: "Stack", tmp_path: Path) -> None:
    folder = fill(tmp_path / "digits", stack, count=200)
    (folder / ".DS_Store").touch()
    out = tmp_path / "results.csv"
    said = last_line(stack.darkroom("bulk", str(folder), "--model", "digits", "--out", str(out)).stdout)
    assert (said["succeeded"], said["total"], said["rest"]) == ("200", "200", "; 1 skipped")
    found = rows(out)
    assert [row["custom_id"] for row in found] == [name for name in names(folder) if not name.endswith(".DS_Store")]
    right = [row["predicted_class"] == row["custom_id"].split("/")[1] for row in found]
    assert sum(right) >= 190
    assert all(row["status"] == "succeeded" and 0 < float(row["confidence"]) <= 1 for row in found)


def test_several_parts_are_predicted_completely(stack: "Stack", tmp_path: Path, door: Door) -> None:
    folder = fill(tmp_path / "digits", stack, count=5_200)
    out, before = tmp_path / "results.ndjson", total_batches(door)
    said = last_line(stack.darkroom("bulk", str(folder), "--out", str(out)).stdout)
    assert (said["succeeded"], said["total"]) == ("5,200", "5,200")
    assert [json.loads(line)["custom_id"] for line in out.read_text().splitlines()] == names(folder)
    assert total_batches(door) == before + 2


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_an_archive_is_predicted(stack: "Stack", tmp_path: Path, scan: bytes, kind: str) -> None:
    out, archive = tmp_path / "results.csv", tmp_path / f"digits.{kind}"
    files = [(f"in/{number}.png", renewed(scan)) for number in range(20)]
    everything = [*files, ("in/.DS_Store", b"")]
    content = zipped(everything) if kind == "zip" else tarred(everything, compression=kind.partition(".")[2])
    archive.write_bytes(content)
    said = last_line(stack.darkroom("bulk", str(archive), "--out", str(out)).stdout)
    assert (said["total"], said["rest"]) == ("20", "; 1 skipped")
    assert [row["custom_id"] for row in rows(out)] == [name for name, _ in files]


def test_files_that_are_no_images_are_named_and_the_exit_code_is_1(stack: "Stack", tmp_path: Path, scan: bytes) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "1.png").write_bytes(renewed(scan))
    (folder / "broken é.png").write_bytes(scan[:60])
    (folder / "notes.png").write_text("no image")
    (folder / "more.zip").write_bytes(b"PK\x03\x04")
    done = stack.darkroom("bulk", str(folder), expect=1)
    said = done.stdout.splitlines()
    assert said[0].startswith("mixed/more.zip  not read  ")
    assert {line.split("  ")[0] for line in said[1:3]} == {"mixed/broken é.png", "mixed/notes.png"}
    assert all(len(line.split("  failed  ")[1]) > 10 for line in said[1:3])
    assert last_line(done.stdout)["rest"] == "; 3 failed"
    assert "Traceback" not in done.stdout + done.stderr


def test_a_refused_name_in_an_archive_is_reported_and_the_rest_predicted(
    stack: "Stack", tmp_path: Path, scan: bytes
) -> None:
    # No drive on this system, and a path out of the folder on others.
    folder = tmp_path / "C:"
    folder.mkdir()
    (folder / "1.png").write_bytes(renewed(scan))
    (tmp_path / "2.png").write_bytes(renewed(scan))
    done = stack.darkroom("bulk", str(folder), str(tmp_path / "2.png"), expect=1)
    refused, last = done.stdout.splitlines()
    assert refused.startswith("C:/1.png  not taken  the archive is refused: ")
    assert last.startswith("1 of 2 succeeded")


def test_a_refused_archive_or_model_is_reported_with_the_gateways_error(
    stack: "Stack", tmp_path: Path, scan: bytes
) -> None:
    (tmp_path / "out.zip").write_bytes(zipped([("../1.png", scan)]))
    done = stack.darkroom("bulk", str(tmp_path / "out.zip"), expect=1)
    assert done.stdout.startswith("out.zip  not taken  the archive is refused: ")
    assert done.stdout.splitlines()[-1] == "0 of 1 succeeded; 1 not sent"
    (tmp_path / "1.png").write_bytes(scan)
    done = stack.darkroom("bulk", str(tmp_path / "1.png"), "--model", "nope", expect=1)
    assert "nope" in done.stderr
    assert done.stderr.count("\n") == 1


SMALL_PARTS = """
from cli.bulk import parts
parts.split_into_parts.__kwdefaults__["most_files"] = 200
from cli.main import app
app()
"""
"""`darkroom`, which makes parts of 200 files: thousands of images would say no more of a run that is stopped."""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_a_stopped_run_is_resumed_and_every_file_has_one_result(
    stack: "Stack", door: Door, tmp_path: Path, how: signal.Signals
) -> None:
    folder, out = fill(tmp_path / "digits", stack, count=600), tmp_path / "results.csv"
    journal = journal_path(stack.home.resolve(), url=stack.url, model=None, paths=[folder])
    command = [sys.executable, "-c", SMALL_PARTS, "bulk", str(folder)]
    # With nobody to predict, it can't be done before it is stopped.
    with (
        door.workers_stopped(),
        subprocess.Popen(command, env=stack.environment, stdout=subprocess.PIPE, text=True) as process,
    ):
        # One of three parts is noted, the next on its way.
        until(lambda: journal.exists() and journal.read_bytes().count(b"\n") >= 2, what="a part is noted")
        process.send_signal(how)
        said, _ = process.communicate(timeout=LIMIT)
    assert process.returncode in (-signal.SIGKILL, 130)
    assert how is signal.SIGKILL or "Interrupted; what was sent is still predicted." in said
    said = stack.darkroom("bulk", str(folder), "--resume", "--out", str(out)).stdout
    assert re.match(r"[246]00 of 600 files are already sent\.", said)
    assert last_line(said)["succeeded"] == "600"
    assert [row["custom_id"] for row in rows(out)] == names(folder)


def test_bulk_waits_for_a_gateway_killed_while_reading_and_succeeds(breakable: Breakable, tmp_path: Path) -> None:
    folder, out = tmp_path / "pixels", tmp_path / "results.csv"
    folder.mkdir()
    for number in range(3 * LANE_DEPTH):
        (folder / f"{number:04}.png").write_bytes(picture(9_000_000 + number))
    command = [sys.executable, "-m", "cli.main", "bulk", str(folder), "--out", str(out)]
    # More than waits at a time: with no worker, the upload is not read to its end.
    with subprocess.Popen(command, env=breakable.stack.environment, stdout=subprocess.PIPE, text=True) as process:
        with breakable.stopped("predict"):
            until(lambda: is_being_read(breakable), what="the upload is being read")
            breakable.kill(*breakable.pids("api"))
        said, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, said
    assert last_line(said)["succeeded"] == f"{3 * LANE_DEPTH:,}"
    assert [row["custom_id"] for row in rows(out)] == names(folder)
    breakable.wait_until_mended()
    breakable.audit()


def test_bulk_sends_while_postgres_is_away_and_has_the_results_once_it_is_back(
    breakable: Breakable, tmp_path: Path
) -> None:
    folder, out = tmp_path / "pixels", tmp_path / "results.csv"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number:04}.png").write_bytes(picture(9_500_000 + number))
    before = unended(breakable)
    command = [sys.executable, "-m", "cli.main", "bulk", str(folder), "--out", str(out)]
    breakable.postgres.stop()
    try:
        process = subprocess.Popen(command, env=breakable.stack.environment, stdout=subprocess.PIPE, text=True)
        until(lambda: unended(breakable) > before or process.poll() is not None, what="the upload is taken")
    finally:
        breakable.postgres.start()
    said, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, said
    assert [row["custom_id"] for row in rows(out)] == names(folder)


def unended(breakable: Breakable) -> set[bytes]:
    """Return the batches that have not ended, as Redis knows them."""
    return set(breakable.redis.zrange(keys.batches(ANYONE), 0, -1))


def is_being_read(breakable: Breakable) -> bool:
    newest = breakable.get("/v1/batches", params={"limit": 1})["results"]
    return bool(newest) and newest[0]["status"] == "validating" and newest[0]["request_counts"]["total"] > 0
