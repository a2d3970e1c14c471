"""What Redis has of every model: which version serves, how it computes, who serves it, and why one does not."""

from dataclasses import dataclass

import redis

from shared.domain.identifiers import ModelName, VersionNumber
from shared.domain.model_route import CHAMPION, Route
from shared.queue import model_routes
from shared.queue.inspection.gauges import Gauges
from shared.queue.lane_streams import streams

NONE = "–"
RETIRED = "retired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A model's row. `waiting` counts its images in the queue, those being computed included.

    `decode`, `precision` and `agreement` are the champion's.
    """

    name: ModelName
    state: str
    champion: str
    decode: str
    precision: str
    agreement: str
    workers: int
    waiting: int


def listed_models(client: redis.Redis) -> list[Listed]:
    """Return every model that serves, that images wait for, or that is retired, by name."""
    published, retired = set(model_routes.names(client)), set(model_routes.retired(client))
    gauges = Gauges(client)
    return [
        _listed(
            model,
            model_routes.read(client, model),
            is_published=model in published,
            is_retired=model in retired,
            workers=gauges.workers(model),
            waiting=sum(client.xlen(lane) for lane in streams(client, model)),
        )
        for model in sorted(published | retired | set(model_routes.leaving(client)))
    ]


def _listed(
    name: ModelName, route: Route | None, *, is_published: bool, is_retired: bool, workers: int, waiting: int
) -> Listed:
    champion = route.versions.get(route.aliases.get(CHAMPION, VersionNumber(""))) if route else None
    if is_retired:
        state = RETIRED
    elif not is_published or route is None:
        state = "withdrawn: no worker serves it, or it is no longer registered"
    elif route.never_loaded:
        number, error = next(iter(route.failed.items()))
        state = f"version {number} can't be loaded: {error}"
    elif route.went_back:
        number, reason = next(iter(route.went_back.items()))
        state = f"version {number} went back: {reason}"
    else:
        state = "serves" if workers else "no worker: its images wait"
    return Listed(
        name=name,
        state=state,
        champion=champion.number if champion else NONE,
        decode=(champion and champion.decode) or NONE,
        precision=(champion and champion.precision) or NONE,
        agreement=f"{champion.agreement.top1:.2%}" if champion and champion.agreement else NONE,
        workers=workers,
        waiting=waiting,
    )
