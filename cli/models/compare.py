"""`darkroom models compare`: a report on versions of a model, from Postgres, printed or as JSON."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from cli.addresses import store_url
from cli.home import command_line
from cli.models.listed import NONE
from cli.terminal.lines import first_line, say, say_table
from cli.terminal.names import shown
from cli.terminal.refused import Refused
from shared.domain.ages import parse_age
from shared.domain.identifiers import ModelName
from shared.domain.model_report import ModelReport, ShadowAgreement, VersionReport
from shared.domain.version_figures import CONFIDENCE_BINS, LATENCY_BOUNDS, Latencies
from shared.domain.written_numbers import written
from shared.presentation.model_report import report_object
from shared.settings import Database
from shared.storage.engine import make_engine
from shared.storage.model_report import read_model_report

MOST_CLASSES: Final = 6
MOST_CODES: Final = 4
MOST_IDS: Final = 5
"""How many are printed of each; JSON has all."""
_BARS: Final = " ▁▂▃▄▅▆▇█"


def compare(home: Path, name: str, versions: Sequence[str], *, since: str, as_json: bool) -> None:
    """Print a report of everybody's predictions; raises Refused where there are none, or Postgres can't be read."""
    try:
        start = datetime.now(UTC) - parse_age(since)
    except (ValueError, OverflowError) as error:
        raise Refused(f"--since {shown(error)}") from None
    engine = make_engine(Database(url=store_url(home, "DARKROOM_DATABASE_URL")))
    try:
        with engine.connect() as connection:
            report = read_model_report(connection, ModelName(name), since=start, owner=None, versions=versions)
    except SQLAlchemyError as error:
        raise Refused(f"Postgres can't be read: {first_line(error)}") from None
    finally:
        engine.dispose()
    if as_json:
        say(json.dumps(report_object(report), indent=2))
    elif report.versions:
        show_report(report)
        if absent := [one for one in versions if all(one != found.figures.version for found in report.versions)]:
            say(f"\n{_no_prediction(name, absent, since)}")
    else:
        known = command_line("models list", home)
        raise Refused(
            f"{_no_prediction(name, versions, since)} Longer ago: --since 30d. Which models there are: {known}"
        )


def _no_prediction(name: str, versions: Sequence[str], since: str) -> str:
    of = f"version{'s' * (len(versions) > 1)} {', '.join(map(shown, versions))} of " if versions else ""
    return f"No prediction of {of}{shown(name)} was submitted in the last {since}."


def show_report(report: ModelReport) -> None:
    """Print a report."""
    say(f"{report.model} since {report.since:%Y-%m-%d %H:%M} UTC\n")
    header = ("version", "variant", "count", "failed", "queue p50/p99", "predict p50/p99", "total p50/p99", "accuracy")
    say_table([header, *(_row(one) for one in report.versions)])
    say("")
    for one in report.versions:
        for line in _details(one):
            say(f"  {one.figures.version} {_variant(one)}: {line}")
    for shadow in report.shadows:
        say(f"  {shadow.version} as shadow: {_agreement(shadow)}")
    if report.comparisons:
        say("")
        for comparison in report.comparisons:
            say(comparison.sentence)
    if report.uncounted:
        say(f"\n{report.uncounted:,} recorded predictions wait to be counted and are left out.")


def _row(one: VersionReport) -> tuple[str, ...]:
    figures = one.figures
    return (
        figures.version,
        _variant(one),
        f"{figures.count:,}",
        f"{figures.failed_share:.2%}",
        _two(figures.queue_ms),
        _two(figures.predict_ms),
        _two(figures.total_ms),
        _accuracy(one),
    )


def _variant(one: VersionReport) -> str:
    """Return the variant; requests that named a version by its number have that number as theirs."""
    return "by number" if one.figures.variant == one.figures.version else one.figures.variant


def _two(found: Latencies | None) -> str:
    return NONE if found is None else f"{written(found.p50, digits=3)} / {written(found.p99, digits=3)} ms"


def _accuracy(one: VersionReport) -> str:
    if one.accuracy is not None:
        found = one.accuracy
        return f"{found.share:.1%} ({found.low:.1%} to {found.high:.1%}, {found.labelled:,} labelled)"
    if one.errors is not None:
        return f"off by {written(one.errors.mean_absolute_error, digits=4)} ({one.errors.labelled:,} labelled)"
    return NONE


def _details(one: VersionReport) -> Iterator[str]:
    figures = one.figures
    if figures.errors:
        yield "errors " + _most({code: f"{count:,}" for code, count in figures.errors.items()}, MOST_CODES)
    if total := sum(figures.classes.values()):
        yield "classes " + _most(
            {name: f"{count / total:.1%}" for name, count in figures.classes.items()}, MOST_CLASSES
        )
    if one.drift is not None:
        yield f"drift from the first week {one.drift.index:.3f}: {one.drift.verdict}"
    for name, found in (("queue", figures.queue_ms), ("predict", figures.predict_ms), ("total", figures.total_ms)):
        if found is not None:
            yield f"{name} {_histogram(found.counts)}"
    if max(figures.confidence):
        yield f"confidence from 0 to 1 in {CONFIDENCE_BINS} bins [{_bars(figures.confidence)}]"


def _histogram(counts: Sequence[int]) -> str:
    """Return a latency histogram from the first bucket that has images to the last."""
    has = [place for place, count in enumerate(counts) if count]
    first, last = has[0], has[-1]
    bounds = [f"{bound:,g}" for bound in (0, *LATENCY_BOUNDS)]
    end = f"to {bounds[last + 1]} ms" if last < len(LATENCY_BOUNDS) else "ms on"
    number = f"{last - first + 1} bins" if last > first else "one bin"
    return f"from {bounds[first]} {end} in {number} [{_bars(counts[first : last + 1])}]"


def _bars(counts: Sequence[int]) -> str:
    most = max(counts)
    return "".join(_BARS[-(-count * 8 // most)] for count in counts)


def _most(values: dict[str, str], most: int) -> str:
    listed = [f"{shown(name)} {value}" for name, value in list(values.items())[:most]]
    return ", ".join([*listed, "…"] if len(values) > most else listed)


def _agreement(shadow: ShadowAgreement) -> str:
    if not shadow.compared:
        return f"{shadow.not_comparable:,} answers, none of which can be compared"
    share = f"agrees in {shadow.agreed:,} of {shadow.compared:,} ({shadow.agreed / shadow.compared:.1%}"
    ids = f"; differs in {', '.join(shadow.ids[:MOST_IDS])}" if shadow.ids else ""
    return f"{share}, {shadow.low:.1%} to {shadow.high:.1%}){ids}"
