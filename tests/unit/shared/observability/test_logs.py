"""Log lines: JSON, bound facts, and no credentials."""

import asyncio
import io
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

from shared.observability.logs import JsonLines, Readable, bind, bound, configure_logging
from shared.settings import Logging

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    """A logger whose lines `lines` reads."""
    logger = logging.getLogger("test")
    logger.propagate, logger.level = False, logging.INFO
    logger.handlers = [logging.StreamHandler(io.StringIO())]
    logger.handlers[0].setFormatter(JsonLines())
    yield logger
    logger.handlers = []


@pytest.fixture
def lines(log: logging.Logger) -> Lines:
    return lambda: [orjson.loads(line) for line in log.handlers[0].stream.getvalue().splitlines()]


def fail(error: Exception) -> None:
    raise error


def test_a_log_line_is_one_json_object_with_time_level_event_and_facts(log: logging.Logger, lines: Lines) -> None:
    log.info("batch_predicted", extra={"size": 16, "odd": object})
    [line] = lines()
    assert line.keys() == {"time", "level", "event", "logger", "size", "odd"}
    assert (line["level"], line["event"], line["size"]) == ("info", "batch_predicted", 16)
    assert line["time"].endswith("+00:00")


def test_a_traceback_stays_in_its_line(log: logging.Logger, lines: Lines) -> None:
    try:
        fail(ValueError("wrong\nin two lines"))
    except ValueError:
        log.exception("broke")
    [line] = lines()
    assert "Traceback" in line["exception"]
    assert "ValueError: wrong" in line["exception"]


def test_bound_facts_are_in_every_line_of_the_block_and_none_after(log: logging.Logger, lines: Lines) -> None:
    with bound(model="digits"):
        log.info("one")
        with bound(batch_id="b", model="cats"):
            log.info("two", extra={"batch_id": "the line's own"})
        bind(request_id="r")
        log.info("three")
    log.info("four")
    facts = [{k: v for k, v in line.items() if k not in ("time", "level", "logger", "event")} for line in lines()]
    assert facts == [
        {"model": "digits"},
        {"model": "cats", "batch_id": "the line's own"},
        {"model": "digits", "request_id": "r"},
        {},
    ]


def test_a_block_that_raises_leaves_nothing_bound(log: logging.Logger, lines: Lines) -> None:
    with pytest.raises(RuntimeError), bound(model="digits"):
        raise RuntimeError
    log.info("after")
    assert "model" not in lines()[0]


def test_threads_and_tasks_do_not_see_each_others_facts(log: logging.Logger, lines: Lines) -> None:
    async def request(id: str) -> None:
        bind(request_id=id)
        await asyncio.sleep(0)
        log.info("asked", extra={"id": id})

    async def both() -> None:
        await asyncio.gather(request("a"), request("b"))
        log.info("outside", extra={"id": None})

    with bound(model="digits"):
        other = threading.Thread(target=lambda: log.info("thread", extra={"id": None}))
        other.start()
        other.join()
    asyncio.run(both())
    assert [(line["event"], line.get("request_id"), line.get("model")) for line in lines()] == [
        ("thread", None, None),
        ("asked", "a", None),
        ("asked", "b", None),
        ("outside", None, None),
    ]


@pytest.mark.parametrize("formatter", [JsonLines(), Readable()])
def test_no_log_line_contains_a_urls_credentials(log: logging.Logger, formatter: logging.Formatter) -> None:
    log.handlers[0].setFormatter(formatter)
    try:
        fail(ConnectionError("can't reach postgresql://me:hunter2@db:5432/darkroom"))
    except ConnectionError:
        log.exception("lost", extra={"url": "redis://:hunter2@host/0", "plain": "http://host/path@2x.png"})
    written = log.handlers[0].stream.getvalue()
    assert "hunter2" not in written
    assert "redis://***@host/0" in written
    assert "http://host/path@2x.png" in written


def test_a_terminal_gets_readable_lines(log: logging.Logger) -> None:
    log.handlers[0].setFormatter(Readable())
    with bound(model="digits"):
        log.warning("image_failed", extra={"error": "no image"})
    assert log.handlers[0].stream.getvalue()[9:] == "WARNING image_failed model=digits error=no image\n"


def test_every_logger_writes_the_same_form_even_with_handlers_of_its_own() -> None:
    root, server = logging.getLogger(), logging.getLogger("uvicorn.error")
    handlers, level = root.handlers[:], root.level
    try:
        server.addHandler(logging.StreamHandler())
        server.propagate = False
        configure_logging(Logging())
        configure_logging(Logging(format="json"))
        assert [type(handler.formatter) for handler in root.handlers] == [JsonLines]
        assert server.handlers == []
        assert server.propagate
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


HOSTILE = (
    "two\nlines",
    "12:00:00\r\n12:00:01 ERROR forged",
    "\x1b[2J\x9b31m\x07",
    "\u202e\u2028\u200b",
    "\ud800",
    "nul\0",
    10**40,
    {"a\nb": ["\x1b"]},
)


@pytest.mark.parametrize("fact", HOSTILE)
def test_whatever_a_fact_is_its_record_is_one_line_that_a_terminal_does_not_obey(
    log: logging.Logger, lines: Lines, fact: object
) -> None:
    written = log.handlers[0].stream
    log.info("refused %s", fact, extra={"name_of_file": fact})
    [line] = lines()
    assert written.getvalue().rstrip("\n").isprintable()
    assert line["event"].startswith("refused ")
    log.handlers[0].setFormatter(Readable())
    written.truncate(0)
    written.seek(0)
    log.info("refused %s", fact, extra={"name_of_file": fact})
    assert written.getvalue().count("\n") == 1
    assert written.getvalue().rstrip("\n").isprintable()
