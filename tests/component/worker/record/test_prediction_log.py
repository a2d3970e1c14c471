"""The prediction log: lines that loaders take as they are."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest
from prometheus_client import CollectorRegistry

from shared.domain.task import Task
from shared.observability.metrics import RecordMetrics
from shared.settings import Logging, SettingsError
from tests.support.outputs import OUTPUTS
from worker.record.ended import Ended
from worker.record.prediction_log import PredictionLog, prediction_line
from worker.record.record_observer import MOST_SERIES, MOST_VERSIONS, RecordObserver

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 vendor=1"

Make = Callable[..., dict[bytes, bytes]]
Open = Callable[..., PredictionLog]


@pytest.fixture
def open_log() -> Iterator[Callable[..., PredictionLog]]:
    """Open logs that are closed after the test; keywords are settings."""
    with ExitStack() as stack:

        def make(path: Path, **changes: int) -> PredictionLog:
            made = PredictionLog(Logging(predictions=str(path), **changes))
            stack.callback(made.close)
            return made

        yield make


def read(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(text) for text in path.read_bytes().splitlines()]


def test_a_line_has_owner_model_times_and_durations(finished_record: Make) -> None:
    record = finished_record(
        id="01a1fcbb-4b36-71de-a741-01ba9b5eeb24", batch="01a1fcbb-4b36-71de-a741-000000000000", owner="anna",
        created=1_790_000_000_000_000, started=1_790_000_000_002_100, completed=1_790_000_000_010_100,
    )  # fmt: skip
    ended = Ended.read(record)
    said = orjson.loads(prediction_line(ended._replace(request=ended.request._replace(request_id="r-1", trace=TRACE))))
    assert said == {
        "time": "2026-09-21T14:13:20.010100Z",
        "event": "prediction",
        "prediction_id": "01a1fcbb-4b36-71de-a741-01ba9b5eeb24",
        "request_id": "r-1",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "batch_id": "01a1fcbb-4b36-71de-a741-000000000000",
        "owner": "anna",
        "model": "digits",
        "version": "3",
        "variant": "champion",
        "status": "succeeded",
        "source": "model",
        "image_sha256": "ab" * 32,
        "output": {
            "predicted_class": "7",
            "predicted_index": 7,
            "confidence": 0.998,
            "probabilities": [{"class": "7", "probability": 0.998}, {"class": "1", "probability": 0.001}],
        },
        "error_code": None,
        "error": None,
        "attempts": 1,
        "queue_ms": 2.1,
        "latency_ms": 10.1,
    }


LOGGED: dict[Task, dict[str, Any]] = {
    Task.MULTILABEL: {
        "predicted_classes": ["dog", "cat"],
        "scores": [{"class": "dog", "score": 0.75}, {"class": "cat", "score": 0.5}, {"class": "a bird", "score": 0.25}],
    },
    Task.REGRESSION: {
        "values": [{"name": "height", "value": 2, "unit": None}, {"name": "age", "value": -3.5, "unit": "years"}]
    },
    Task.JSON: {"json": '{"text":"=1+1","lines":[{"at":[1,2]}],"seen":null}'},
}


@pytest.mark.parametrize("task", [task for task in Task if task is not Task.CLASSIFICATION])
def test_no_member_of_an_output_is_named_by_the_model(task: Task, finished_record: Make) -> None:
    record = finished_record() | {b"output": orjson.dumps(OUTPUTS[task])}
    said = orjson.loads(prediction_line(Ended.read(record)))
    assert said["output"] == LOGGED.get(task, OUTPUTS[task])


def test_a_long_output_is_left_out_of_its_line(finished_record: Make) -> None:
    output = orjson.dumps(OUTPUTS[Task.SEGMENTATION] | {"mask": "x" * 100_000})
    line = prediction_line(Ended.read(finished_record() | {b"output": output}))
    assert orjson.loads(line)["output"] == {"left_out_bytes": len(output)}


def test_a_failure_and_a_cache_hit_have_the_same_members(finished_record: Make) -> None:
    failed = finished_record(state="failed", started="", batch="", error="no image", code="undecodable_image")
    failed[b"output"] = b""
    said = orjson.loads(prediction_line(Ended.read(failed)))
    assert said.keys() == orjson.loads(prediction_line(Ended.read(finished_record()))).keys()
    assert (said["output"], said["queue_ms"], said["batch_id"]) == (None, None, None)
    assert (said["error_code"], said["error"]) == ("undecodable_image", "no image")


def test_no_line_holds_a_webhook_metadata_or_a_file_name(finished_record: Make) -> None:
    request = {"webhook": {"url": "https://host/SECRET"}, "metadata": {"k": "SECRET"}, "base_url": "http://SECRET"}
    record = finished_record(request=request)
    assert b"SECRET" in record[b"request"]
    assert b"SECRET" not in prediction_line(Ended.read(record))


@pytest.mark.parametrize(
    "damage",
    [{b"request": b"{"}, {b"request": b"[]"}, {b"output": b"\xff"}, {b"output": b"[1]"}, {b"error": b"\xff\x00"}],
    ids=str,
)
def test_a_record_that_postgres_stored_without_its_text_is_logged(
    finished_record: Make, damage: dict[bytes, bytes], open_log: Open, tmp_path: Path
) -> None:
    RecordObserver(RecordMetrics(CollectorRegistry()), open_log(tmp_path / "log")).committed(
        [finished_record() | damage], seconds=0.1
    )
    assert len(read(tmp_path / "log")) == 1


def test_a_full_file_is_rotated(finished_record: Make, open_log: Open, tmp_path: Path) -> None:
    log = open_log(tmp_path / "log", predictions_max_bytes=2000)
    for _ in range(10):
        log.write([prediction_line(Ended.read(finished_record()))])
    assert {path.name for path in tmp_path.iterdir()} == {"log", "log.1"}
    assert all(path.stat().st_size <= 2000 for path in tmp_path.iterdir())
    assert read(tmp_path / "log.1")


def test_concurrent_threads_write_whole_lines(finished_record: Make, open_log: Open, tmp_path: Path) -> None:
    log, lines = open_log(tmp_path / "log"), [prediction_line(Ended.read(finished_record()))] * 50
    threads = [threading.Thread(target=lambda: [log.write(lines) for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read(tmp_path / "log")) == 4 * 20 * 50


def test_a_dash_logs_to_standard_output_and_nothing_else_goes_there() -> None:
    program = (
        "from shared.settings import Logging; from worker.record.prediction_log import PredictionLog;"
        "PredictionLog(Logging(predictions='-')).write([b'{\"a\": 1}', b'{\"a\": 2}'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b'{"a": 1}\n{"a": 2}\n'


def test_a_full_disk_loses_lines_and_no_predictions() -> None:
    program = """
from shared.settings import Logging
from worker.record.ended import Ended
from worker.record.prediction_log import PredictionLog
log = PredictionLog(Logging(predictions="/dev/full"))
for _ in range(2):
    log.write([b"{}"] * 1000)
print("went on")
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "went on\n"
    assert "predictions_not_logged" in done.stderr
    assert len(done.stderr) < 1000


def test_a_file_that_cannot_be_written_stops_the_start_with_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="DARKROOM_LOG_PREDICTIONS: No such file or directory"):
        PredictionLog(Logging(predictions=str(tmp_path / "nowhere" / "log")))


def test_ended_predictions_are_counted_by_model_status_source_and_code(finished_record: Make) -> None:
    registry = CollectorRegistry()
    observer = RecordObserver(RecordMetrics(registry), None)
    hit, failed = finished_record(source="cache"), finished_record(state="failed", code="model_error")
    observer.committed([finished_record(), finished_record(), hit, failed], seconds=0.25)
    observer.failed()

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, {"model": "digits"} | labels)

    counted = [("succeeded", "model", 2), ("succeeded", "cache", 1), ("failed", "model", 1)]
    for status, source, count in counted:
        labels = {"version": "3", "variant": "champion", "status": status, "source": source}
        assert value("darkroom_predictions_total", **labels) == count
    assert value("darkroom_predictions_failed_total", code="model_error") == 1
    assert value("darkroom_prediction_duration_seconds_count") == 4
    assert value("darkroom_prediction_duration_seconds_sum") == pytest.approx(4 * 0.0101)
    # What came from the cache was not computed.
    assert value("darkroom_prediction_computing_seconds_count", version="3") == 3
    assert value("darkroom_prediction_computing_seconds_sum", version="3") == pytest.approx(3 * 0.008)
    assert registry.get_sample_value("darkroom_record_seconds_sum") == 0.25
    assert registry.get_sample_value("darkroom_record_failures_total") == 1


def test_versions_of_long_ago_leave_the_metrics(finished_record: Make) -> None:
    registry = CollectorRegistry()
    observer = RecordObserver(RecordMetrics(registry), None)
    for number in range(MOST_SERIES + 2):
        observer.committed([finished_record(request={"version": str(number)})], seconds=0.1)
    labels = {"model": "digits", "variant": "champion", "status": "succeeded", "source": "model"}
    counted = [
        registry.get_sample_value("darkroom_predictions_total", labels | {"version": str(number)})
        for number in (0, 1, 2, MOST_SERIES + 1)
    ]
    assert counted == [None, None, 1, 1]
    timed = [
        registry.get_sample_value(
            "darkroom_prediction_computing_seconds_count", {"model": "digits", "version": str(number)}
        )
        for number in (0, MOST_SERIES + 1 - MOST_VERSIONS, MOST_SERIES + 2 - MOST_VERSIONS, MOST_SERIES + 1)
    ]
    assert timed == [None, None, 1, 1]


def test_a_pipelines_line_has_its_steps_and_none_is_named_by_a_class(finished_record: Make) -> None:
    def sure(label: str) -> dict[str, Any]:
        return {"predicted_class": label, "confidence": 0.9, "probabilities": {label: 0.9}}

    def logged(label: str) -> dict[str, Any]:
        return sure(label) | {"probabilities": [{"class": label, "probability": 0.9}]}

    def steps(form: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
        first = {
            "models": [{"model": "a", "version": "1", "weight": 1.0, "output": form("cat")}],
            "combined_by": "mean",
        }
        result = {
            "detection": 0,
            "box": [0, 0, 1, 1],
            "models": [{"model": "b", "version": "2"}],
            "output": form("tom"),
        }
        then = {"when": {"class": ["cat"]}, "crop": True, "results": [result]}
        return {"steps": [first, then], "degraded": False}

    record = finished_record()
    record[b"output"] = orjson.dumps(sure("cat") | {"pipeline": steps(sure)})
    said = orjson.loads(prediction_line(Ended.read(record)))
    assert said["output"] == logged("cat") | {"pipeline": steps(logged)}
    price = {"values": {"price": 2.0}, "units": {"price": "EUR"}}
    record[b"output"] = orjson.dumps(price | {"pipeline": {"steps": [], "degraded": True}})
    said = orjson.loads(prediction_line(Ended.read(record)))
    assert said["output"]["pipeline"] == {"steps": [], "degraded": True}
    assert said["output"]["values"] == [{"name": "price", "value": 2.0, "unit": "EUR"}]
