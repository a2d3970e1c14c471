"""Waits until workers serve what the registry says, and tells why they do not."""

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Final

import redis

from cli.addresses import store_url
from cli.home import command_line
from cli.stack.supervisor import state
from cli.terminal.lines import first_line, say
from cli.terminal.refused import Refused
from shared.domain.identifiers import ModelName, VersionNumber
from shared.queue import model_routes
from shared.queue.connection.clients import connect
from shared.queue.inspection.gauges import Gauges
from shared.queue.registry_hints import CHANGED, RegistryHints
from shared.settings import Redis

PATIENCE: Final = timedelta(seconds=120)
_PAUSE: Final = 0.2
_SETTING: Final = "DARKROOM_REDIS_URL"


def wait_until_served(
    home: Path, model: ModelName, version: VersionNumber, *, alias: str, patience: timedelta = PATIENCE
) -> None:
    """Return once a version serves under an alias, and say so; say only what comes where nothing serves models here.

    Raises Refused where it can't be loaded, or does not serve in time.
    """
    if not os.environ.get(_SETTING) and state.running_stack(home) is None:
        say("Workers serve it once they run.")
        return
    try:
        with connect(Redis(url=store_url(home, _SETTING))) as client:
            _wait(client, home, model, version, alias=alias, patience=patience)
    except (redis.RedisError, OSError) as error:
        say(f"Whether it serves can't be told: {first_line(error)}")


def _wait(
    client: redis.Redis, home: Path, model: ModelName, version: VersionNumber, *, alias: str, patience: timedelta
) -> None:
    if model in model_routes.retired(client):
        raise Refused(f"{model} is retired. It serves again after: {command_line(f'models restore {model}', home)}")
    RegistryHints(client).give(CHANGED)
    began = time.monotonic()
    while (waited := time.monotonic() - began) < patience.total_seconds():
        route = model_routes.read(client, model)
        if route is not None and route.aliases.get(alias) == version:
            say(f"Version {version} serves as {alias} ({waited:.1f} s).")
            return
        if route is not None and version in route.went_back:
            raise Refused(
                f"Version {version} served, and went back to version {route.aliases.get(alias)}:"
                f" {route.went_back[version].rstrip('.')}. Register a repaired one and promote that."
            )
        if route is not None and version in route.failed:
            serving = route.aliases.get(alias)
            goes_on = f" Version {serving} goes on serving." if serving else ""
            raise Refused(f"Version {version} can't be loaded: {route.failed[version].rstrip('.')}.{goes_on}")
        time.sleep(_PAUSE)
    workers = Gauges(client).workers(model)
    why = f"{workers} workers follow it; see their log" if workers else "no worker serves this model"
    raise Refused(f"Version {version} does not serve as {alias} after {patience.total_seconds():.0f} s: {why}.")
