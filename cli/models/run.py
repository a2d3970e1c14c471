"""List the models, take one out of service, bring it back."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import redis

from cli.addresses import store_url
from cli.home import command_line
from cli.terminal.lines import first_line, say, say_table
from cli.terminal.refused import Refused
from shared.domain.identifiers import ModelName, VersionNumber
from shared.domain.model_route import CHAMPION, Route
from shared.queue import model_routes
from shared.queue.connection.clients import connect
from shared.queue.inspection.gauges import Gauges
from shared.queue.lane_streams import streams
from shared.settings import Redis

T = TypeVar("T")

NONE = "–"


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


def list_models(home: Path) -> None:
    """Print every model that serves, that images wait for, or that is retired."""
    listed = _ask(home, _list)
    if not listed:
        say("No model is served. Register one in MLflow and point its alias champion at a version.")
        return
    rows = [("model", "champion", "decode", "precision", "agreement", "workers", "waiting", "state")]
    for one in listed:
        computes = (one.decode, one.precision, one.agreement)
        rows.append((one.name, one.champion, *computes, str(one.workers), f"{one.waiting:,}", one.state))
    say_table(rows)


def retire(home: Path, name: str) -> None:
    """Take a model out of service. Safe to repeat."""
    model = ModelName(name)
    known = _ask(home, _list)
    if model not in {one.name for one in known}:
        names = ", ".join(one.name for one in known) or "none"
        raise Refused(f"There is no model {name!r}. There is: {names}.")
    _ask(home, lambda client: model_routes.retire(client, model))
    [waiting] = [one.waiting for one in known if one.name == model]
    say(f"Retired {name}: new images for it are refused from now on (404), whatever is promoted.")
    if waiting:
        say(f"{waiting:,} that wait are computed by workers that have it loaded; without any they fail.")
    say(f"Undo it: {command_line(f'models restore {name}', home)}")


def restore(home: Path, name: str) -> None:
    """Let a retired model be served again. Safe to repeat."""
    if not _ask(home, lambda client: model_routes.restore(client, ModelName(name))):
        raise Refused(f"{name!r} is not retired. See: {command_line('models list', home)}")
    say(f"Restored {name}: its workers serve it again when they next read the registry.")


def _list(client: redis.Redis) -> list[Listed]:
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
        state = "retired"
    elif not is_published or route is None:
        state = "withdrawn: no worker serves it, or it is no longer registered"
    elif route.never_loaded:
        number, error = next(iter(route.failed.items()))
        state = f"version {number} can't be loaded: {error}"
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


def _ask(home: Path, ask: Callable[[redis.Redis], T]) -> T:
    try:
        with connect(Redis(url=store_url(home, "DARKROOM_REDIS_URL"))) as client:
            return ask(client)
    except (redis.RedisError, OSError) as error:
        raise Refused(f"The models can't be reached: {first_line(error)}") from None
