"""Sends a CSV of feedback in parts of whole lines, each with the header, and prints what became of the lines."""

import csv
import io
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from cli.addresses import api_key, gateway_url
from cli.client import LASTING, Client, Declined
from cli.feedback.interrupted_run import InterruptedRun
from cli.given_files import MIB, read_given
from cli.home import command_line
from cli.terminal.interrupts import INTERRUPTED
from cli.terminal.lines import say
from cli.terminal.names import shown
from cli.terminal.refused import Refused
from shared.domain.identifiers import is_uuid

LONGEST_CELL: Final = 128 * 1024
"""Characters: a longer one has a quotation mark that is not closed. The limit is one of the process."""
LARGEST_CSV: Final = 1024 * MIB
LINES_AT_ONCE: Final = 5000
BYTES_AT_ONCE: Final = 4 * 1024 * 1024
MOST_SHOWN: Final = 10
ALL_USED: Final = 0
SOME_REFUSED: Final = 1


_CORRECT_IT: Final = "Correct it and send it again: what is used already changes nothing."


@dataclass(frozen=True, slots=True)
class Part:
    """Lines to send at once: `lines` are their numbers in the file, `end` is how far it was read."""

    content: bytes
    lines: list[int]
    end: int


class NoCsv(Exception):
    """The file is no CSV from some line on; the message says which."""


@dataclass(slots=True)
class Total:
    """What became of all lines so far, of which `line` is the last."""

    line: int = 0
    created: int = 0
    unchanged: int = 0
    empty: int = 0
    refused: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)
    unknown_labels: dict[str, None] = field(default_factory=dict)

    @classmethod
    def of(cls, known: Mapping[str, Any]) -> Self:
        """Return the total of an earlier run from its members; those of another release are left out."""
        return cls(**{name: known[name] for name in cls.__slots__ if name in known})

    def add(self, part: Part, answer: dict[str, Any]) -> None:
        """Add the answer to one part; its lines are numbered as in the file."""
        for name in ("created", "unchanged", "empty", "refused"):
            setattr(self, name, getattr(self, name) + answer[name])
        for one in answer["errors"][: MOST_SHOWN - len(self.errors)]:
            self.errors.append(one | {"line": part.lines[_record_of(part, one["line"])]})
        self.unknown_labels |= dict.fromkeys(answer["unknown_labels"])
        self.line = part.lines[-1]


def feedback(home: Path, labels: Path, *, batch: str | None) -> int:
    """Send the file and print the summary; return the exit code. Raises Refused where it can't be read or sent."""
    if batch is not None and not is_uuid(batch):
        raise Refused(f"{shown(batch)} is no batch's id.")
    path = f"/v1/batches/{batch}/feedback" if batch else "/v1/feedback"
    text = _read(labels)
    url = gateway_url(home)
    run = InterruptedRun.begin(home, url=url, batch=batch, content=text)
    total = Total.of(run.total)
    try:
        with Client(url, home=home, api_key=api_key()) as client, _progress(len(text)) as progress:
            # Whoever was there a moment ago is awaited; where nobody is, the first part says so at once.
            patience = replace(LASTING, awaits_gateway=False)
            for part in islice(parts(text), run.parts, None):
                headers = {"Content-Type": "text/csv", "Idempotency-Key": run.key(part.content)}
                answer = client.ask("POST", path, patience=patience, content=part.content, headers=headers)
                total.add(part, answer.json())
                run.add(asdict(total))
                progress.update(progress.task_ids[0], completed=part.end)
                patience = LASTING
        run.end()
    except KeyboardInterrupt:
        say(f"\nInterrupted. {_so_far(total, _again(home, labels, batch))}")
        return INTERRUPTED
    except NoCsv as error:
        raise Refused(f"{error}. {_used(total)} {_CORRECT_IT}") from None
    except Declined as error:
        if error.may_pass:
            raise Refused(f"Not all was sent: {error}. {_so_far(total, _again(home, labels, batch))}") from None
        if not total.line:
            run.end()  # there is nothing to continue
        raise Refused(f"{error}. {_used(total)} {_CORRECT_IT}") from None
    _report(total)
    return SOME_REFUSED if total.refused else ALL_USED


def _read(labels: Path) -> str:
    """Return the file's text; raises Refused where it can't be read or has none."""
    try:
        text = read_given(labels, most=LARGEST_CSV).decode("utf-8-sig")
    except OSError as error:
        raise Refused(f"{shown(labels)} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Refused(f"{shown(labels)} is not in UTF-8. Save it as CSV UTF-8.") from None
    if not text.strip():
        raise Refused(f"{shown(labels)} is empty: its first line names the columns.")
    return text


def parts(text: str) -> Iterator[Part]:
    """Yield the file in parts; a record may go on over line breaks within quotation marks. Raises NoCsv."""
    csv.field_size_limit(LONGEST_CELL)
    mark = next((one for one in (",", ";", "\t") if one in text.partition("\n")[0]), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
    written, lines, done = io.StringIO(), [0], 0
    writer = csv.writer(written, lineterminator="\n")
    header: list[str] | None = None
    before = 0
    try:
        for row in reader:
            first, before = before + 1, reader.line_num
            if header is None:
                header = row
                writer.writerow(header)
                continue
            if not row:
                continue
            writer.writerow(row)
            lines.append(first)
            if len(lines) > LINES_AT_ONCE or written.tell() > BYTES_AT_ONCE:
                done += written.tell()
                yield Part(written.getvalue().encode(), lines, min(done, len(text)))
                written, lines = io.StringIO(), [0]
                writer = csv.writer(written, lineterminator="\n")
                writer.writerow(header)
    except csv.Error as error:
        raise NoCsv(f"Line {reader.line_num} is no CSV: {error}") from None
    if len(lines) > 1 or not done:
        yield Part(written.getvalue().encode(), lines, len(text))


def _record_of(part: Part, line: int) -> int:
    """Return which record of a part begins at a line of what was sent."""
    begins, at = {}, 1
    for number, row in enumerate(csv.reader(io.StringIO(part.content.decode(), newline=""))):
        begins[at] = number
        at += 1 + sum(cell.count("\n") for cell in row)
    return begins.get(line, 0)


def _progress(size: int) -> Progress:
    progress = Progress(TextColumn("feedback"), BarColumn(), TextColumn("{task.percentage:.0f}%"), console=Console())
    progress.add_task("feedback", total=max(1, size))
    return progress


def _again(home: Path, labels: Path, batch: str | None) -> str:
    """Return the command line that sends the same again."""
    name = f"./{labels}" if str(labels).startswith("-") else str(labels)
    return command_line(shlex.join(["feedback", name, *(["--batch", batch] if batch else [])]), home)


def _so_far(total: Total, again: str) -> str:
    """Say what is done, and what does the rest."""
    return f"{_used(total)} The same command sends the rest and gives nothing twice: {shown(again)}"


def _used(total: Total) -> str:
    return f"Lines up to {total.line:,} are used: {_counted(total)}." if total.line else "No line is known to be used."


def _report(total: Total) -> None:
    for one in total.errors:
        say(shown(f"line {one['line']}  {one['prediction'] or ''}  {one['detail']}"))
    if more := total.refused - len(total.errors):
        say(f"and {more:,} more")
    if total.unknown_labels:
        say(shown(f"new to the model: {', '.join(list(total.unknown_labels)[:MOST_SHOWN])}"))
    say(_counted(total))


def _counted(total: Total) -> str:
    rest = [
        f"{count:,} {what}"
        for count, what in (
            (total.unchanged, "said before"),
            (total.empty, "without an answer"),
            (total.refused, "refused"),
        )
        if count
    ]
    return "; ".join([f"{total.created:,} new", *rest])
