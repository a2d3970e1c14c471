"""Waits until what a command has changed is so for every request from now on, and tells why it is not."""

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Final

import redis

from cli.addresses import store_url
from cli.home import command_line
from cli.models.long_wait import LongWait
from cli.stack.supervisor import state
from cli.terminal.lines import first_line, say
from cli.terminal.refused import Refused
from shared.domain.identifiers import ModelName, VersionNumber
from shared.domain.model_route import CHAMPION
from shared.domain.registry_change import Change
from shared.queue import model_routes, route_readers
from shared.queue.connection.clients import connect
from shared.queue.inspection.gauges import Gauges
from shared.queue.registry_hints import CHANGED, RegistryHints
from shared.settings import Redis

PATIENCE: Final = timedelta(seconds=120)
_LATE: Final = timedelta(seconds=2)
"""After so long it is told what is waited for; gateways read once a second."""
_PAUSE: Final = 0.2
_PAUSE_FOR_GATEWAYS: Final = 0.05
_sleep = time.sleep
_SETTING: Final = "DARKROOM_REDIS_URL"


def wait_until_true(home: Path, model: ModelName, made: Change) -> None:
    """Return once what a change says is so for every request from now on, and say so; else what is not known of it.

    Raises Refused where its version can't be loaded, or it does not come about in time.
    """
    if not os.environ.get(_SETTING) and state.running_stack(home) is None:
        if made.version:
            say("Workers serve it once they run.")
        return
    try:
        with connect(Redis(url=store_url(home, _SETTING))) as client:
            _wait(client, home, model, made)
    except (redis.RedisError, OSError) as error:
        say(f"Whether it serves can't be told: {first_line(error)}")


def wait_for_gateways(client: redis.Redis) -> None:
    """Return once all gateways answer by what serves now; say which are waited for. Raises what Redis raises."""
    wait = LongWait(late=_LATE)

    def pause(late: list[str]) -> None:
        wait.tell(f"Waiting for gateways that have not confirmed it yet: {', '.join(map(_shown, late))}")
        time.sleep(_PAUSE_FOR_GATEWAYS)

    route_readers.wait_for_all(client, pause=pause)


def wait_until_published(client: redis.Redis, *, model: ModelName) -> None:
    """Return once every gateway takes images for a model that was restored; raises Refused where none does in time."""
    RegistryHints(client).give(CHANGED)
    wait = LongWait(late=_LATE)
    while wait.seconds < PATIENCE.total_seconds():
        if model_routes.is_published(client, model):
            wait_for_gateways(client)
            say(f"It serves ({wait.seconds:.1f} s).")
            return
        wait.tell("Waiting for a worker that has loaded it …")
        _sleep(_PAUSE)
    raise Refused(f"No worker serves {model} after {PATIENCE.total_seconds():.0f} s; one that starts does.")


def _wait(client: redis.Redis, home: Path, model: ModelName, made: Change) -> None:
    version, alias = VersionNumber(made.version), made.alias
    if version and model in model_routes.retired(client):
        raise Refused(f"{model} is retired. It serves again after: {command_line(f'models restore {model}', home)}")
    RegistryHints(client).give(CHANGED)
    wait = LongWait(late=_LATE)
    while wait.seconds < PATIENCE.total_seconds():
        wait.tell(f"Waiting for workers that load version {version} …" if version else "Waiting for workers …")
        route = model_routes.read(client, model)
        if route is not None and made.is_served_by(route):
            wait_for_gateways(client)
            what = f"Version {version} serves as {alias}" if version else "Every gateway answers by that"
            say(f"{what} ({wait.seconds:.1f} s).")
            return
        if not version and not Gauges(client).workers(model):
            say("It takes effect once a worker serves this model: none does now.")
            return
        if route is not None and route.pin and alias == CHAMPION:
            raise Refused(f"Version {version} does not serve: {route.pin}. It serves once the pin is gone.")
        if route is not None and version in route.went_back:
            raise Refused(
                f"Version {version} served, and went back to version {route.aliases.get(alias)}:"
                f" {route.went_back[version].rstrip('.')}. Register a repaired one and promote that."
            )
        if route is not None and version in route.failed:
            serving = route.aliases.get(alias)
            goes_on = f" Version {serving} goes on serving." if serving else ""
            raise Refused(f"Version {version} can't be loaded: {route.failed[version].rstrip('.')}.{goes_on}")
        _sleep(_PAUSE)
    workers = Gauges(client).workers(model)
    why = f"{workers} workers follow it; see their log" if workers else "no worker serves this model"
    not_yet = f"Version {version} does not serve as {alias}" if version else "What served before still does"
    raise Refused(f"{not_yet} after {PATIENCE.total_seconds():.0f} s: {why}.")


def _shown(gateway: str) -> str:
    """Return a gateway's host and process, without what tells it from others of these names."""
    return gateway.rpartition(" ")[0]
