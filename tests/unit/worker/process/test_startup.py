"""A start that fails ends the process; a start without Redis waits."""

import logging

import pytest
import redis

from shared.settings import SettingsError
from worker.process.startup import NOT_STARTED, Stopped, exit_on_failure, wait_for_redis


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("no such thing"), "ValueError: no such thing"),
        (MemoryError(), "MemoryError: "),
        (SettingsError("DARKROOM_X: is wrong"), "DARKROOM_X: is wrong"),
        (SystemExit(0), "0"),
        (GeneratorExit("odd"), "GeneratorExit: odd"),
    ],
)
def test_any_failure_at_start_ends_the_process_with_one_line(
    error: BaseException, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(SystemExit) as ended, exit_on_failure():
        raise error
    assert ended.value.code == NOT_STARTED
    [line] = caplog.records
    assert (line.message, line.levelno, vars(line)["reason"]) == ("worker_not_started", logging.CRITICAL, reason)


def test_a_worker_stopped_while_it_starts_exits_without_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(SystemExit) as ended, exit_on_failure():
        raise Stopped
    assert ended.value.code == 0
    assert caplog.records == []


def test_the_reason_for_waiting_is_logged_once_and_when_it_changes(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.process.startup.time.sleep", lambda _: None)
    caplog.set_level(logging.INFO)
    away, loading = redis.ConnectionError("refused"), redis.exceptions.BusyLoadingError("LOADING")
    answers = [away, away, loading, loading, OSError("no route"), b"PONG"]

    def ask() -> object:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert wait_for_redis(ask, stopping=lambda: False) == b"PONG"
    said = [(line.message, vars(line).get("reason", "")) for line in caplog.records]
    assert said == [
        ("waiting_for_redis", "ConnectionError: refused"),
        ("waiting_for_redis", "BusyLoadingError: LOADING"),
        ("waiting_for_redis", "OSError: no route"),
        ("redis_is_there", ""),
    ]


def test_a_worker_waiting_for_redis_stops_when_told_to() -> None:
    def ask() -> object:
        raise redis.ConnectionError

    with pytest.raises(Stopped):
        wait_for_redis(ask, stopping=lambda: True)


def test_other_errors_than_refusals_of_redis_are_not_waited_for() -> None:
    def ask() -> object:
        raise KeyError

    with pytest.raises(KeyError):
        wait_for_redis(ask, stopping=lambda: False)
