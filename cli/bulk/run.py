"""Send folders, files or archives as batches and wait for their end; after an interruption `--resume` continues."""

import shlex
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console

from cli.addresses import api_key, gateway_url
from cli.bulk import batches, journal, results
from cli.bulk.following import watch_batches
from cli.bulk.journal import Journal
from cli.bulk.parts import Plan, Unusable, make_plan
from cli.bulk.results import Tally
from cli.bulk.resuming import known_parts, still_to_send
from cli.bulk.sending import Sending
from cli.client import NO_PIPELINE, Client, Declined
from cli.home import command_line
from cli.terminal.interrupts import INTERRUPTED
from cli.terminal.lines import say
from cli.terminal.meter import Meter
from cli.terminal.names import shown
from cli.terminal.refused import Refused

ALL_SUCCEEDED: Final = 0
SOME_DID_NOT: Final = 1
NOTHING_TO_SEND: Final = 2
_MOST_NAMED: Final = 5

Wait = Callable[[threading.Event, float], bool]
"""Waits until an event is set or the seconds are over; returns whether it is set."""


def bulk(
    home: Path,
    paths: Sequence[Path],
    *,
    model: str | None,
    webhook: str | None,
    pipeline: Mapping[str, str | None] = NO_PIPELINE,
    out: Path | None,
    resume: bool,
    wait: Wait = threading.Event.wait,
) -> int:
    """Send everything, wait until it has ended and print the outcome; return the exit code.

    `pipeline` has the form's fields of an ensemble or a chain.
    """
    try:
        plan = make_plan(paths, leave_out=[home, out] if out else [home])
        if out:
            results.check_out(out)
    except Unusable as error:
        sys.stderr.write(f"{error}\n")
        return NOTHING_TO_SEND
    url = gateway_url(home)
    go_on = (
        f"Continue with: {command_line(_words(paths, model=model, webhook=webhook, pipeline=pipeline, out=out), home)}"
    )
    place = journal.journal_path(home, url=url, model=model, pipeline=pipeline, paths=paths)
    stopping, notes = _Stopping(wait), None
    try:
        with Client(url, home=home, api_key=api_key(), pause=stopping.pause) as client:
            batches.check_gateway(client)
            notes = Journal.resume(place) if resume else Journal.begin(place)
            asked = _Asked(model, webhook, pipeline)
            return _run(client, plan, notes, asked, out=out, stopping=stopping)
    except KeyboardInterrupt:
        say(f"\nInterrupted; what was sent is still predicted. {go_on}")
        return INTERRUPTED
    except (Declined, OSError) as error:
        raise Refused(
            f"{error}. What was sent is still predicted. {go_on}" if notes and notes.entries else str(error)
        ) from None


def _run(
    client: Client,
    plan: Plan,
    notes: Journal,
    asked: "_Asked",
    *,
    out: Path | None,
    stopping: "_Stopping",
) -> int:
    """Do the rest of a run; raises Declined, and OSError where the disk is full."""
    sending = _prepare(client, plan, notes, asked)
    before, began = sending.ended, time.monotonic()
    _send_and_watch(client, sending, stopping)
    seconds = time.monotonic() - began
    tally = results.tally_results(client, sending.taken, sending.failures)
    tally.skipped += plan.skipped
    if out:
        results.write_results(client, sending.taken, out)
    _report(tally, seconds=seconds, predicted=sending.ended - before)
    return ALL_SUCCEEDED if tally.succeeded == tally.total else SOME_DID_NOT


def _prepare(client: Client, plan: Plan, notes: Journal, asked: "_Asked") -> Sending:
    """Return the run to send, with what was accepted before; print what will not be sent. Raises Declined."""
    taken = known_parts(client, notes.entries)
    waiting = still_to_send(client, plan.files, entries=notes.entries, taken=taken)
    watched = [part for part in taken if not part.has_ended]
    sending = Sending(journal=notes, **asked._asdict(), waiting=waiting, taken=taken, watched=watched)
    if notes.entries:
        there = len(plan.files) - sum(len(part.files) for part in waiting)
        say(f"{there:,} of {len(plan.files):,} files are already sent.")
    if plan.links:
        say(f"{plan.links:,} links to folders are not followed.")
    for failure in plan.unread:
        sending.give_up([failure])
    return sending


def _send_and_watch(client: Client, sending: Sending, stopping: "_Stopping") -> None:
    """Return when all was sent and has ended. The polling thread ends with the sending one."""
    with ThreadPoolExecutor(1) as pool, Meter(Console(), before=sending.done) as meter:
        try:
            watching = pool.submit(watch_batches, client, sending, meter)
            sending.send_all(client)
            watching.result()
        except BaseException:
            stopping.set()
            raise


def _report(tally: Tally, *, seconds: float, predicted: int) -> None:
    """Print the first failures and skipped files, then a line with the figures."""
    for result in tally.failures:
        say(shown(f"{result.name}  {result.status}  {result.error}".rstrip()))
    if more := tally.failed + tally.canceled - len(tally.failures):
        say(f"and {more:,} more")
    if names := tally.skipped_files[:_MOST_NAMED]:
        more = tally.skipped - len(names)
        say(shown(f"skipped: {', '.join(names)}") + (f" and {more:,} more" if more else ""))
    say(summary(tally, seconds=seconds, predicted=predicted))


def summary(tally: Tally, *, seconds: float, predicted: int) -> str:
    """Return the figures in one line; `predicted` is the number of images that ended in these seconds."""
    rate = f" in {seconds:.1f} s ({predicted / seconds:,.0f} images/s)" if predicted else ""
    rest = [
        f"{count:,} {what}"
        for count, what in (
            (tally.failed + tally.not_read, "failed"),
            (tally.canceled, "canceled"),
            (tally.not_sent, "not sent"),
            (tally.skipped, "skipped"),
        )
        if count
    ]
    return f"{tally.succeeded:,} of {tally.total:,} succeeded{rate}" + (f"; {', '.join(rest)}" if rest else "")


def _words(
    paths: Sequence[Path],
    *,
    model: str | None,
    webhook: str | None,
    pipeline: Mapping[str, str | None],
    out: Path | None,
) -> str:
    """Return the arguments that resume this run; of many paths, the first few."""
    named = [shlex.quote(str(path)) for path in paths[:_MOST_NAMED]] + ["…"] * (len(paths) > _MOST_NAMED)
    chosen = ((f"--{name.replace('_', '-')}", value) for name, value in pipeline.items())
    given = (("--model", model), *chosen, ("--webhook", webhook), ("--out", out))
    options = [f"{name} {shlex.quote(str(value))}" for name, value in given if value]
    return " ".join(["bulk", *named, *options, "--resume"])


class _Asked(NamedTuple):
    """What every batch of a run is asked for."""

    model: str | None
    webhook: str | None
    pipeline: Mapping[str, str | None]


class _Stopping:
    """Ends every pause of a run at once, so that its threads stop."""

    def __init__(self, wait: Wait) -> None:
        self._wait = wait
        self._event = threading.Event()

    def set(self) -> None:
        """End them."""
        self._event.set()

    def pause(self, seconds: float) -> None:
        """Wait so many seconds; raises _Stopped where the run is over."""
        if self._wait(self._event, seconds):
            raise _Stopped


class _Stopped(Exception):
    """The run is over; raised in the polling thread."""
