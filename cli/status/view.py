"""Renders the figures as one page of tables, cut to the terminal's width."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.stack.supervisor.state import Phase
from cli.status.errors import Trouble
from cli.status.figures import (
    OUTCOMES,
    AnswerFigures,
    Figures,
    LaneFigures,
    ModelFigures,
    QueueFigures,
    RoleFigures,
)
from cli.status.tried_versions import TriedVersions

UNKNOWN: Final = "–"
_QUIET: Final = "dim"
_NOTED: Final = "yellow"
_PASSWORD: Final = re.compile(r"(?<=://)([^\s:/@]*):[^\s/@]+@")
_MEGABYTE: Final = 1_000_000
_MINUTE: Final = 60.0
_HOUR: Final = 3600.0


def status_page(
    shown: Figures,
    *,
    title: str,
    clock: datetime,
    began: datetime | None,
    notes: Sequence[str] = (),
    hint: str,
    height: int | None,
) -> RenderableType:
    """Return the whole page; `began` is when the stack was started, None without one.

    `notes` stand below the head, a line each: what holds for the whole page.

    With `hint`, what a key does, the head is as wide as the terminal. With `height`, in lines, only as many of the
    newest errors are shown as fit.
    """
    tables = []
    if shown.roles:
        tried = [_tried(shown.tried)] if shown.tried else []
        tables = [_roles(shown.roles), _models(shown.models), *tried, _answers(shown.answers), _queue(shown.queue)]
    above = 1 + len(notes) + sum(2 + table.row_count for table in tables)
    room = len(shown.troubles) if height is None else max(1, height - above - 2)
    parts: list[RenderableType] = [_head(title, clock=clock, began=began, hint=hint)]
    parts += [_cut(note, _NOTED) for note in notes]
    for part in (*tables, _troubles(shown.troubles[:room], clock=clock, began=began)):
        parts += ["", part]
    return Group(*parts)


def _head(title: str, *, clock: datetime, began: datetime | None, hint: str) -> Table:
    head = Table.grid(expand=bool(hint), padding=(0, 3, 0, 0))
    head.add_column()
    head.add_column(ratio=1)
    since = f"up {seconds((clock - began).total_seconds())}" if began else ""
    head.add_row(_cut(title, "bold"), _cut(since, _QUIET), _cut(hint, _QUIET), f"{clock:%H:%M:%S}")
    return head


def _roles(roles: Sequence[RoleFigures]) -> Table:
    table = _table("role", "state", "pids", ("cpu", 5), ("memory", 7), "where")
    for role in roles:
        table.add_row(
            _cut(role.role.ljust(8)),
            Text(role.state.ljust(9), "green" if role.state == Phase.READY else _NOTED),
            _cut(" ".join(map(str, role.pids))),
            UNKNOWN if role.cores is None else f"{role.cores:.0%}",
            UNKNOWN if role.memory is None else _bytes(role.memory),
            _cut(role.why, _NOTED) if role.why else _cut(_PASSWORD.sub(r"\1:***@", role.where), _QUIET),
        )
    return table


def _models(models: Sequence[ModelFigures]) -> Table:
    numbers = (
        ("workers", 7),
        ("images/s", 8),
        ("batch", 5),
        ("interactive", 11),
        ("oldest", 6),
        ("bulk", 7),
        ("oldest", 6),
    )
    table = _table("model", *numbers)
    table.columns[0].no_wrap, table.columns[0].overflow = True, "ellipsis"
    for model in models:
        table.add_row(
            _cut(model.model.ljust(8)),
            UNKNOWN if model.workers is None else Text(str(model.workers), "" if model.workers else _NOTED),
            _rate(model.images),
            UNKNOWN if model.batch_size is None else f"{model.batch_size:.1f}",
            *_lane(model.people),
            *_lane(model.bulk),
        )
    return table


def _tried(tried: Sequence[TriedVersions]) -> Table:
    """Return a line for each shadow and each canary."""
    table = _table("tried", "", "")
    table.columns[0].no_wrap, table.columns[0].overflow = True, "ellipsis"
    for one in tried:
        if one.shadow:
            table.add_row(_cut(one.model.ljust(8)), "shadow", _cut(one.shadow.words()))
        if one.canary:
            table.add_row(_cut(one.model.ljust(8)), "canary", _cut(one.canary))
    return table


def _lane(lane: LaneFigures | None) -> tuple[str, str]:
    """Return the cells of a lane: entries and age of the oldest."""
    if lane is None:
        return UNKNOWN, UNKNOWN
    return f"{lane.entries:,}", seconds(lane.oldest) if lane.entries else UNKNOWN


def _answers(answers: AnswerFigures | None) -> Table:
    rates = answers.rates if answers else dict.fromkeys(OUTCOMES)
    table = _table("answers", *((f"{outcome}/s", 9) for outcome in rates), ("from the cache", 14))
    share = UNKNOWN if answers is None or answers.cached is None else f"{answers.cached:.0%}"
    table.add_row(" " * 8, *map(_rate, rates.values()), share)
    return table


def _queue(queue: QueueFigures | None) -> Table:
    table = _table("queue", ("oldest job", 10), ("to be recorded", 14), ("recorder lag", 12), ("Redis memory", 20))
    if queue is None:
        table.add_row(" " * 8, *[UNKNOWN] * 4)
        return table
    limit = f" of {_bytes(queue.limit)}" if queue.limit else ""
    table.add_row(
        " " * 8,
        seconds(queue.oldest) if queue.oldest else UNKNOWN,
        f"{queue.unrecorded:,}",
        seconds(queue.lag) if queue.unrecorded else UNKNOWN,
        f"{_bytes(queue.memory)}{limit}",
    )
    return table


def _troubles(troubles: Sequence[Trouble], *, clock: datetime, began: datetime | None) -> RenderableType:
    """Return a line for each warning or error; those from before the stack's start are dimmed."""
    if not troubles:
        return Text("no warnings or errors in the logs", _QUIET)
    table = _table("last errors", "", "")
    for trouble in troubles:
        at = trouble.at.astimezone(clock.tzinfo)
        is_old = began is not None and at < began
        said = _cut(trouble.event, "" if is_old else _NOTED)
        said.append(f" ×{trouble.times}" if trouble.times > 1 else "", _QUIET)
        said.append(f"  {_plain(trouble.reason)}", "default")
        when = f"{at:%H:%M:%S}" if at.date() == clock.date() else f"{at:%d %b}"
        table.add_row(when, _cut(trouble.role), said, style=_QUIET if is_old else "")
    return table


def _table(*columns: str | tuple[str, int]) -> Table:
    """Return an empty table; a column with a width holds numbers and is at least that wide."""
    table = Table(box=None, pad_edge=False, header_style=_QUIET)
    for column in columns:
        if isinstance(column, str):
            table.add_column(column)
        else:
            heading, width = column
            table.add_column(heading, justify="right", no_wrap=True, min_width=width)
    return table


def _cut(text: str, style: str = "") -> Text:
    """Return a text as one line that is cut with an ellipsis where it does not fit."""
    return Text(_plain(text), style, no_wrap=True, overflow="ellipsis")


def _plain(text: str) -> str:
    """Return a text on one line, without control characters."""
    return "".join(character if character.isprintable() else " " for character in text)


def _rate(each_second: float | None) -> str:
    if each_second is None:
        return UNKNOWN
    return f"{each_second:,.0f}" if each_second == 0 or each_second >= 10 else f"{each_second:.1f}"  # noqa: PLR2004  two digits


def seconds(seconds: float) -> str:
    """Return a time as it is shown: `2.3 s`, `1.5 min`, `4.0 h`."""
    if seconds >= _HOUR:
        return f"{seconds / _HOUR:.1f} h"
    if seconds >= _MINUTE:
        return f"{seconds / _MINUTE:.1f} min"
    return f"{seconds:.1f} s"


def _bytes(amount: int) -> str:
    megabytes = amount / _MEGABYTE
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes:.0f} MB"  # noqa: PLR2004  as it reads best
