"""Computes the figures of `status` from consecutive snapshots; no input or output."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cli.stack.supervisor.state import ROLES, Phase, ProgramState
from cli.status import scraping
from cli.status.duties import Duty
from cli.status.errors import Trouble
from cli.status.processes import Family
from cli.status.rates import rates
from cli.status.scraping import Scrape, Series
from cli.status.snapshots import Snapshot
from cli.status.tried_versions import TriedVersions, tried_versions
from shared.observability.metrics import BULK, INTERACTIVE

OUTCOMES = ("queued", "joined", "cached", "repeated", "refused")
"""Outcomes of a submission, in the order they are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleFigures:
    """One role with all its processes. None means unknown."""

    role: str
    phase: Phase
    duty: str
    """`late` or `missing` where the processes run but the work is not done; else empty."""
    pids: tuple[int, ...]
    cores: float | None
    """CPU cores it keeps busy."""
    memory: int | None
    """Bytes."""
    where: str
    why: str
    """Why it is not ready, or why its metrics can't be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneFigures:
    """A lane: images that wait or are being computed, and the age of the oldest in seconds."""

    entries: int
    oldest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFigures:
    """One model. None means unknown."""

    model: str
    workers: int | None
    images: float | None
    """Images computed per second."""
    batch_size: float | None
    """Mean size of a micro-batch; None also where none was computed."""
    people: LaneFigures | None
    bulk: LaneFigures | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerFigures:
    """Submissions per second by outcome, and the share answered from the cache; None without submissions."""

    rates: dict[str, float]
    cached: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFigures:
    """The queue in Redis; times in seconds, memory in bytes, `limit` 0 where there is none."""

    lag: float
    unrecorded: int
    oldest: float
    memory: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Everything that is shown. None means unknown."""

    roles: list[RoleFigures]
    models: list[ModelFigures]
    answers: AnswerFigures | None
    queue: QueueFigures | None
    troubles: Sequence[Trouble]
    tried: Sequence[TriedVersions]


def status_figures(snapshots: Sequence[Snapshot]) -> Figures:
    """Return what to show after these snapshots, the newest last; rates are averages over all of them."""
    now = snapshots[-1]
    return Figures(
        roles=[_role(role, snapshots) for role in ROLES] if now.state else [],
        models=_models(snapshots),
        answers=_answers(snapshots),
        queue=_queue(now.scrapes.values()),
        troubles=now.troubles,
        tried=tried_versions(now.routes, now.scrapes.values()),
    )


def _role(role: str, snapshots: Sequence[Snapshot]) -> RoleFigures:
    now = snapshots[-1]
    programs = now.state.of_role(role) if now.state else []
    pids = tuple(program.process.pid for program in programs if program.process)
    used = [usage for pid in pids for usage in now.families.get(pid, {}).values()]
    busy = [cores for pid in pids if (cores := _cores(pid, snapshots)) is not None]
    duty = _duty(role, now)
    worst = next((program for program in programs if program.phase is not Phase.READY), None)
    return RoleFigures(
        role=role,
        phase=worst.phase if worst else Phase.READY,
        duty="" if worst else duty.state,
        pids=pids,
        cores=sum(busy) if busy else None,
        memory=sum(usage.memory for usage in used) if used else None,
        where=next(map(_where, (program for program in programs if program.url)), ""),
        why=worst.detail if worst else duty.detail or _silent(programs, now.scrapes),
    )


def _where(program: ProgramState) -> str:
    """Return a program's address, with the file of its login."""
    return f"{program.url}  login in {program.login_file}" if program.login_file else program.url or ""


def _duty(role: str, now: Snapshot) -> Duty:
    """Return whether a role's work is done; for predict, whether each model has a worker."""
    if role == "predict":
        alone = sorted(_model(series) for series, count in _values(now, scraping.WORKERS).items() if not count)
        return Duty("missing", f"no worker serves {', '.join(alone)}") if alone else Duty("", "")
    return now.duties.get(role, Duty("", ""))


def _silent(programs: Iterable[ProgramState], scrapes: Mapping[str, Scrape]) -> str:
    """Return the first program whose metrics can't be read, and why; empty where there is none."""
    told = ((program.name, scrapes.get(program.name, Scrape()).trouble) for program in programs)
    return next((f"metrics of {name}: {trouble}" for name, trouble in told if trouble), "")


def _cores(pid: int, snapshots: Sequence[Snapshot]) -> float | None:
    """Return how many cores a process and its children kept busy; None with less than two snapshots of it."""
    seen: list[tuple[float, Family]] = [
        (snapshot.at, snapshot.families[pid]) for snapshot in snapshots if pid in snapshot.families
    ]
    if len(seen) <= 1:
        return None
    (began, before), (ended, after) = seen[0], seen[-1]
    spent = (usage.seconds - (before[member].seconds if member in before else 0.0) for member, usage in after.items())
    return sum(spent) / (ended - began)


def _models(snapshots: Sequence[Snapshot]) -> list[ModelFigures]:
    """Return every model that is served or has images waiting."""
    now = snapshots[-1]
    workers = {_model(series): int(count) for series, count in _values(now, scraping.WORKERS).items()}
    entries, ages = _values(now, scraping.LANE_ENTRIES), _values(now, scraping.LANE_AGE)
    images, batches, sizes = (
        rates(snapshots, role="predict", name=name, by=_model)
        for name in (scraping.IMAGES, scraping.BATCH_COUNT, scraping.BATCH_SUM)
    )
    served = now.state.models if now.state else []
    others = {*workers, *(_model(series) for series in entries), *(images or {})}
    return [
        ModelFigures(
            model=model,
            workers=workers.get(model),
            images=None if images is None else images.get(model, 0.0),
            batch_size=_mean((sizes or {}).get(model, 0.0), of=(batches or {}).get(model, 0.0)),
            people=_lane(model, INTERACTIVE, entries, ages),
            bulk=_lane(model, BULK, entries, ages),
        )
        for model in dict.fromkeys([*served, *sorted(others)])
    ]


def _lane(model: str, lane: str, entries: Mapping[Series, float], ages: Mapping[Series, float]) -> LaneFigures | None:
    labels = (("lane", lane), ("model", model))
    count = entries.get(Series(scraping.LANE_ENTRIES, labels))
    if count is None:
        return None
    return LaneFigures(entries=int(count), oldest=ages.get(Series(scraping.LANE_AGE, labels), 0.0))


def _outcome(series: Series) -> str:
    """Return a counter's outcome; `limited`, over a key's limit, counts as refused."""
    outcome = series.by["outcome"]
    return "refused" if outcome == "limited" else outcome


def _answers(snapshots: Sequence[Snapshot]) -> AnswerFigures | None:
    found = rates(snapshots, role="api", name=scraping.SUBMISSIONS, by=_outcome)
    if found is None:
        return None
    by_outcome = {outcome: found.get(outcome, 0.0) for outcome in dict.fromkeys([*OUTCOMES, *found])}
    answered = sum(rate for outcome, rate in by_outcome.items() if outcome != "refused")
    return AnswerFigures(rates=by_outcome, cached=_mean(by_outcome["cached"], of=answered))


def _queue(scrapes: Iterable[Scrape]) -> QueueFigures | None:
    """Return the queue as one worker exports it; None where none could read it."""
    scrapes = [scrape for scrape in scrapes if scrape.values.get(Series(scraping.QUEUE_VISIBLE))]
    if not scrapes:
        return None
    values = scrapes[0].values
    return QueueFigures(
        lag=values.get(Series(scraping.RECORDER_LAG), 0.0),
        unrecorded=int(values.get(Series(scraping.UNRECORDED), 0)),
        oldest=max((age for series, age in values.items() if series.name == scraping.LANE_AGE), default=0.0),
        memory=int(values.get(Series(scraping.REDIS_USED), 0)),
        limit=int(values.get(Series(scraping.REDIS_LIMIT), 0)),
    )


def _values(snapshot: Snapshot, name: str) -> dict[Series, float]:
    """Return all series of one name, from the first process that exports it: replicas export the same values."""
    for scrape in snapshot.scrapes.values():
        if found := {series: value for series, value in scrape.values.items() if series.name == name}:
            return found
    return {}


def _model(series: Series) -> str:
    return series.by["model"]


def _mean(total: float, *, of: float) -> float | None:
    return total / of if of else None
