import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from cli.status.errors import MOST, Logs, Trouble, merge_repeated, parse_log
from cli.status.log_lines import read_line
from shared.observability.logs import JsonLines, Readable

CHANGED = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
TRACEBACK = ["Traceback (most recent call last):", '  File "x.py", line 1, in <module>', "    1 / 0"]


def troubles(*lines: str) -> list[tuple[str, str]]:
    return [(trouble.event, trouble.reason) for trouble in parse_log(lines, role="api", changed=CHANGED)]


def formatted(
    formatter: logging.Formatter, level: int, event: str, *, error: Exception | None = None, **facts: object
) -> list[str]:
    """A line as Darkroom's own processes write it."""
    exception = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("worker", level, "x.py", 1, event, None, exception)
    record.__dict__.update(facts)
    return formatter.format(record).splitlines()


def broken() -> Exception:
    """An exception with a traceback."""
    try:
        int("broke")
    except ValueError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize("formatter", [JsonLines(), Readable()])
def test_our_own_lines_are_read_in_both_forms(formatter: logging.Formatter) -> None:
    lines = formatted(formatter, logging.WARNING, "redis_lost", how="no route")
    lines += formatted(formatter, logging.INFO, "ready", how="well")
    lines += formatted(formatter, logging.ERROR, "fault", error=broken())
    (first, why), last = troubles(*lines)
    assert (first, why.removeprefix("how=")) == ("redis_lost", "no route")
    assert last == ("fault", "ValueError: invalid literal for int() with base 10: 'broke'")
    assert read_line(lines[0], changed=datetime.now(UTC)).at == pytest.approx(  # type: ignore[union-attr]
        datetime.now(UTC), abs=timedelta(seconds=5)
    )


def test_without_a_reason_field_all_fields_are_the_reason() -> None:
    assert troubles(*formatted(JsonLines(), logging.ERROR, "batch_stuck", seconds=121, model="digits")) == [
        ("batch_stuck", "seconds=121 model=digits")
    ]


@pytest.mark.parametrize("formatter", [JsonLines(), Readable()])
def test_the_same_trouble_of_many_requests_is_one(formatter: logging.Formatter) -> None:
    lines = [
        line
        for number in range(9)
        for line in formatted(
            formatter, logging.WARNING, "request", request_id=f"r{number}", prediction_id=f"p{number}", model="digits",
            method="POST", status=503, milliseconds=number / 7,
        )
    ]  # fmt: skip
    (one,) = merge_repeated(parse_log(lines, role="api", changed=CHANGED))
    assert (one.event, one.reason, one.times) == ("request", "model=digits method=POST status=503", 9)


@pytest.mark.parametrize(
    ("line", "event", "at"),
    [
        (
            "[E 261125 05:00:39 events:228] Failed to capture events",
            "Failed to capture events",
            datetime(2026, 11, 25, 5, 0, 39).astimezone(),
        ),
        (
            "2026-11-25 04:56:52.424 UTC [2358] FATAL:  no space left",
            "no space left",
            datetime(2026, 11, 25, 4, 56, 52, tzinfo=UTC),
        ),
        (
            "2026-11-25 04:56:52.424 CET [2358] ERROR:  deadlock detected",
            "deadlock detected",
            datetime(2026, 11, 25, 4, 56, 52).astimezone(),
        ),
        (
            "2026/11/25 04:52:13 WARNING mlflow.store: slow",
            "mlflow.store: slow",
            datetime(2026, 11, 25, 4, 52, 13).astimezone(),
        ),
        (
            "5303:M 25 Nov 2026 05:00:40.315 # Error accepting a client",
            "Error accepting a client",
            datetime(2026, 11, 25, 5, 0, 40).astimezone(),
        ),
        ("ERROR:    Exception in ASGI application", "Exception in ASGI application", CHANGED),
    ],
)
def test_lines_of_every_program_are_read_with_their_time(line: str, event: str, at: datetime) -> None:
    assert list(parse_log([line], role="r", changed=CHANGED)) == [Trouble(at=at, role="r", event=event)]


@pytest.mark.parametrize(
    "line",
    [
        "training a small CNN on 1,437 of them",
        "[I 261125 05:00:39 command:168] Visit me",
        "2026-11-25 04:56:52.414 UTC [2343] LOG:  starting PostgreSQL 18.4, no ERROR",
        "2026-11-25 04:56:52.414 UTC [2343] FATAL:  the database system is starting up",
        "5303:M 25 Nov 2026 05:00:40.315 # Server initialized",
        "5303:M 25 Nov 2026 05:00:40.315 # WARNING Memory overcommit must be enabled! Without it, …",
        "5303:M 25 Nov 2026 05:00:40.315 * Background saving error",
        '{"time":"2026-11-25T05:00:39.779+00:00","level":"warning","event":"old","logger":"py.warnings"}',
        '{"level":"error","event":"without a time"}',
        '{"time":7,"level":"error","event":"time is a number"}',
        '{"time":"2026-11-25T05:00:39.779+00:00","level":"error","event":"cut o',
        "{}",
        "{",
    ],
)
def test_harmless_and_unreadable_lines_are_left_out(line: str) -> None:
    assert troubles(line) == []


def test_an_invalid_time_counts_as_none() -> None:
    assert list(parse_log(["99:99:99 ERROR e"], role="r", changed=CHANGED)) == [
        Trouble(at=CHANGED, role="r", event="e")
    ]


def test_a_time_without_a_date_is_the_latest_possible() -> None:
    now = CHANGED.astimezone()
    before, after = now - timedelta(hours=1), now + timedelta(hours=1)
    lines = [f"{moment:%H:%M:%S} WARNING ended" for moment in (after, before)]
    yesterday, today = (trouble.at for trouble in parse_log(lines, role="r", changed=CHANGED))
    assert (yesterday, today) == (after - timedelta(days=1), before)


def test_a_traceback_alone_is_an_error_with_its_last_line() -> None:
    assert troubles(*TRACEBACK, "ZeroDivisionError: division by zero") == [("ZeroDivisionError", "division by zero")]
    assert troubles(*TRACEBACK, "KeyboardInterrupt") == [("KeyboardInterrupt", "")]
    assert troubles(*TRACEBACK) == []


def test_a_traceback_after_an_error_is_its_reason_the_last_of_a_chain() -> None:
    chained = ["", "During handling of the above exception, another exception occurred:", ""]
    lines = ["ERROR:    Exception in ASGI application", *TRACEBACK, "KeyError: 'a'", *chained, *TRACEBACK, "OSError: b"]
    assert troubles(*lines) == [("Exception in ASGI application", "OSError: b")]


def test_separate_tracebacks_are_separate_errors() -> None:
    assert troubles(*TRACEBACK, "KeyError: 'a'", *TRACEBACK, "KeyError: 'a'") == [("KeyError", "'a'")] * 2


def test_a_traceback_after_a_harmless_line_is_no_part_of_it() -> None:
    assert troubles("10:00:00 INFO    ready", *TRACEBACK, "KeyError: 'a'") == [("KeyError", "'a'")]


def test_a_line_without_a_time_gets_the_previous_lines_or_the_files() -> None:
    lines = ["2026/11/25 04:52:13 INFO x: y", "ERROR:  a", "2026/11/25 04:52:20 INFO x: y", "ERROR:  b"]
    first, last = parse_log(lines, role="r", changed=CHANGED)
    assert first.at == datetime(2026, 11, 25, 4, 52, 13).astimezone()
    assert last.at == CHANGED


def test_repeated_errors_are_merged_at_the_time_of_the_last() -> None:
    def said(event: str, minute: int) -> Trouble:
        return Trouble(at=CHANGED + timedelta(minutes=minute), role="r", event=event)

    merged = merge_repeated([said("a", 1), said("b", 2), said("a", 3)])
    assert [(trouble.event, trouble.times, trouble.at.minute) for trouble in merged] == [("a", 2, 3), ("b", 1, 2)]


def test_the_newest_of_all_logs_come_first_and_not_all_of_them(tmp_path: Path) -> None:
    for role, day in (("api", 24), ("record", 25)):
        lines = [f"2026/11/{day} 10:00:{second:02} ERROR {second}\n" for second in range(MOST)]
        (tmp_path / f"{role}.log").write_text("".join(lines))
    (tmp_path / "predictions.ndjson").write_text('{"time":"2026-11-26T00:00:00+00:00","level":"error","event":"e"}\n')
    newest = Logs(tmp_path).newest()
    assert len(newest) == MOST
    assert {trouble.role for trouble in newest} == {"record"}
    assert [trouble.event for trouble in newest[:2]] == [str(MOST - 1), str(MOST - 2)]
    assert Logs(tmp_path / "none").newest() == []


def test_a_grown_log_is_read_again_and_a_deleted_one_is_not(tmp_path: Path) -> None:
    log, logs = tmp_path / "api.log", Logs(tmp_path)
    log.write_text("ERROR: a\n")
    assert [trouble.event for trouble in logs.newest()] == ["a"]
    with log.open("a") as file:
        file.write("ERROR: b\n")
    assert {trouble.event for trouble in logs.newest()} == {"a", "b"}
    log.unlink()
    assert logs.newest() == []


OURS = '{"time":"2026-11-25T10:00:00.000+00:00","level":"%s","event":"request","logger":"api","how":"%s"}\n'


def test_an_error_is_found_however_much_was_logged_after_it(tmp_path: Path) -> None:
    log, logs = tmp_path / "api.log", Logs(tmp_path)
    with log.open("w", encoding="utf-8") as file:
        file.write("ERROR: early\n" + OURS % ("error", "no room"))
        for _ in range(3):
            file.write(OURS % ("info", "well") * 2000)
            file.flush()
            assert {(one.event, one.reason, one.times) for one in logs.newest()} == {
                ("request", "no room", 1), ("early", "", 1)
            }  # fmt: skip
        file.write(OURS % ("error", "no room"))
    assert [(one.event, one.reason, one.times) for one in logs.newest()] == [
        ("request", "no room", 2),
        ("early", "", 1),
    ]


def test_what_a_full_log_had_is_not_forgotten(tmp_path: Path) -> None:
    log, logs = tmp_path / "predict.log", Logs(tmp_path)
    log.write_text(OURS % ("error", "before"), encoding="utf-8")
    assert [one.reason for one in logs.newest()] == ["before"]
    log.rename(tmp_path / "predict.log.1")
    log.write_text(OURS % ("error", "after"), encoding="utf-8")
    assert {(one.role, one.reason) for one in logs.newest()} == {("predict", "before"), ("predict", "after")}
    log.write_text("", encoding="utf-8")
    assert [one.reason for one in logs.newest()] == ["before"], (
        "a log that was copied and emptied is read from its begin"
    )


def test_a_log_that_is_read_while_it_grows_tells_the_same_as_one_that_is_read_once(tmp_path: Path) -> None:
    random = Random(7)
    lines = []
    for number in range(4000):
        kind = random.randrange(5)
        lines.append(OURS % ("info" if kind else "error", number % 7))
        if kind == 1:
            lines.append("a model prints\n" * random.randrange(3))
        if kind == 2:
            lines += [
                OURS % ("error", "raised"),
                *(f"{line}\n" for line in TRACEBACK),
                f"ZeroDivisionError: {number % 5}\n",
            ]
    log, logs = tmp_path / "api.log", Logs(tmp_path)
    with log.open("w", encoding="utf-8") as file:
        for line in lines:
            file.write(line)
            if random.random() < 0.02:
                file.flush()
                logs.newest()
    assert sorted(map(repr, logs.newest())) == sorted(map(repr, Logs(tmp_path).newest()))
    once = parse_log("".join(lines).splitlines(), role="api", changed=CHANGED)
    assert {one.reason: one.times for one in logs.newest()} == {one.reason: one.times for one in merge_repeated(once)}


def test_a_traceback_longer_than_what_is_parsed_again_has_its_reason(tmp_path: Path) -> None:
    log, logs = tmp_path / "api.log", Logs(tmp_path)
    with log.open("w", encoding="utf-8") as file:
        file.write(OURS % ("info", "well") + OURS % ("error", "?") + TRACEBACK[0] + "\n")
        for _ in range(4):
            file.write("".join(f"{line}\n" for line in TRACEBACK[1:]) * 500)
            file.flush()
            logs.newest()
        file.write("RecursionError: too deep\n")
    assert [(one.event, one.reason) for one in logs.newest()] == [("request", "RecursionError: too deep")]


def test_a_line_that_is_no_text_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "api.log").write_bytes(b"ERROR: early\n" + b"x" * 200_000 + b"\xff\nERROR: late\n")
    assert {trouble.event for trouble in Logs(tmp_path).newest()} == {"early", "late"}
