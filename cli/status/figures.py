"""Computes the figures of `status` from consecutive snapshots; no input or output.

What the service does comes from the computation that the gateway's status uses too; here it is joined with what only a
home knows: programs, pids, CPU and memory of their children, log lines.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from cli.stack.supervisor.state import ROLES, ProgramState
from cli.status.errors import Trouble
from cli.status.processes import Family
from cli.status.role_states import role_state
from cli.status.service import Service
from cli.status.snapshots import Snapshot
from cli.status.tried_versions import TriedVersions, tried_versions
from shared.domain.status.service_status import Figures as ServiceFigures
from shared.domain.status.service_status import Lane

OUTCOMES = ("queued", "joined", "cached", "repeated", "refused")
"""Outcomes of a submission, in the order they are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleFigures:
    """One role with all its processes. None means unknown."""

    role: str
    state: str
    """`ready`, or the word for what is wrong."""
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
    """Return what to show after these snapshots, the newest last; CPU is an average over all of them."""
    now = snapshots[-1]
    return Figures(
        roles=[_role(role, snapshots) for role in ROLES] if now.state else [],
        models=_models(now.service, now.state.models if now.state else []),
        answers=_answers(now.service.figures),
        queue=_queue(now.service.figures),
        troubles=now.troubles,
        tried=tried_versions(now.service.routes, now.service.processes),
    )


def _role(role: str, snapshots: Sequence[Snapshot]) -> RoleFigures:
    now = snapshots[-1]
    programs = now.state.of_role(role) if now.state else []
    pids = tuple(program.process.pid for program in programs if program.process)
    used = [usage for pid in pids for usage in now.families.get(pid, {}).values()]
    busy = [cores for pid in pids if (cores := _cores(pid, snapshots)) is not None]
    is_now = role_state(programs, now.service, now.families)
    return RoleFigures(
        role=role,
        state=is_now.word,
        pids=pids,
        cores=sum(busy) if busy else None,
        memory=sum(usage.memory for usage in used) if used else None,
        where=next(map(_where, (program for program in programs if program.url)), ""),
        why=is_now.why,
    )


def _where(program: ProgramState) -> str:
    """Return a program's address, with the file of its login."""
    return f"{program.url}  login in {program.login_file}" if program.login_file else program.url or ""


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


def _models(service: Service, served: Iterable[str]) -> list[ModelFigures]:
    """Return every model that is served or has images waiting, first those that the stack was started with."""
    figures = service.figures
    known = {one.model: one for one in figures.models} if figures else {}
    predicts = figures is not None and figures.images_per_second is not None
    return [
        ModelFigures(
            model=model,
            workers=one.workers if one else None,
            images=(one.images_per_second if one else 0.0) if predicts else None,
            batch_size=one.batch_size if one else None,
            people=_lane(one.interactive) if one else None,
            bulk=_lane(one.bulk) if one else None,
        )
        for model in dict.fromkeys([*served, *sorted(known)])
        for one in [known.get(model)]
    ]


def _lane(lane: Lane | None) -> LaneFigures | None:
    return LaneFigures(entries=lane.entries, oldest=lane.oldest_seconds) if lane else None


def _answers(figures: ServiceFigures | None) -> AnswerFigures | None:
    if figures is None or figures.submissions is None:
        return None
    rates = {name.removesuffix("_per_second"): rate for name, rate in asdict(figures.submissions).items()}
    # A column that only batches have is shown where it counts anything.
    shown = {name: rate for name, rate in rates.items() if name in OUTCOMES or rate}
    return AnswerFigures(rates=shown, cached=figures.cache_share)


def _queue(figures: ServiceFigures | None) -> QueueFigures | None:
    """Return the queue as one worker publishes it; None where none could read it."""
    if figures is None or figures.recording is None:
        return None
    lanes = [lane for one in figures.models for lane in (one.interactive, one.bulk) if lane]
    return QueueFigures(
        lag=figures.recording.lag_seconds,
        unrecorded=figures.recording.waiting,
        oldest=max((lane.oldest_seconds for lane in lanes), default=0.0),
        memory=figures.memory_bytes or 0,
        limit=figures.memory_limit_bytes or 0,
    )
