"""List the models, show one, take one out of service, bring it back."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import redis

from cli.addresses import store_url
from cli.home import command_line, first_model_lines
from cli.models.listed import Listed, listed_models
from cli.models.registered import registered_model
from cli.models.show import show_route
from cli.models.watching import wait_for_gateways, wait_until_published
from cli.registry import connect
from cli.terminal.lines import first_line, say, say_table
from cli.terminal.refused import Refused
from shared.domain.identifiers import ModelName
from shared.domain.model_route import CHAMPION, Route
from shared.queue import model_routes
from shared.queue.connection.clients import connect_briefly
from shared.settings import Redis

T = TypeVar("T")


def list_models(home: Path) -> None:
    """Print every model that serves, that images wait for, or that is retired."""
    listed = _ask(home, listed_models)
    if not listed:
        say("No model is served. Register one, in MLflow or like this, and make it the champion:")
        say(first_model_lines(home))
        return
    rows = [("model", "champion", "decode", "precision", "agreement", "workers", "waiting", "state")]
    for one in listed:
        computes = (one.decode, one.precision, one.agreement)
        rows.append((one.name, one.champion, *computes, str(one.workers), f"{one.waiting:,}", one.state))
    say_table(rows)


def show_model(home: Path, name: str) -> None:
    """Print one model: its versions, the traffic, warnings, what could not be loaded; raises Refused for no such.

    What it shows is what every gateway answers by: whoever moved an alias in MLflow learns so when it is live.
    """
    known = _ask(home, listed_models)
    route = _ask(home, partial(_shown_route, model=ModelName(name)))
    listed = next((one for one in known if one.name == name), None)
    if listed is None or route is None:
        raise _not_served(home, name, known)
    show_route(route, listed)


def retire(home: Path, name: str) -> None:
    """Take a model out of service. Safe to repeat."""
    model = ModelName(name)
    known = _ask(home, listed_models)
    if model not in {one.name for one in known}:
        raise _not_served(home, name, known)
    _ask(home, partial(_retire, model=model))
    [waiting] = [one.waiting for one in known if one.name == model]
    say(f"Retired {name}: new images for it are refused from now on (404), whatever is promoted.")
    if waiting:
        say(f"{waiting:,} that wait are computed by workers that have it loaded; without any they fail.")
    say(f"Undo it: {command_line(f'models restore {name}', home)}")


def restore(home: Path, name: str, *, wait: bool) -> None:
    """Let a retired model be served again, and wait until it is. Safe to repeat, also after a kill while it waited."""
    model = ModelName(name)
    known = _ask(home, listed_models)
    if model not in {one.name for one in known}:
        raise _not_served(home, name, known)
    is_new = _ask(home, lambda client: model_routes.restore(client, model))
    say(f"Restored {name}." if is_new else f"{name} is not retired.")
    if wait:
        _ask(home, partial(wait_until_published, model=model))


def _retire(client: redis.Redis, *, model: ModelName) -> None:
    model_routes.retire(client, model)
    wait_for_gateways(client)


def _shown_route(client: redis.Redis, *, model: ModelName) -> Route | None:
    """Return a model's route once every gateway answers by it, or a later one."""
    route = model_routes.read(client, model)
    wait_for_gateways(client)
    return route


def _not_served(home: Path, name: str, known: list[Listed]) -> Refused:
    """Return why a model that no worker serves is unknown: nobody registered it, or it has no champion yet."""
    names = ", ".join(one.name for one in known) or "none"
    with suppress(Refused):
        registered = registered_model(connect(home), name)
        if CHAMPION not in registered.aliases:
            promote = command_line(f"models promote {name} latest", home)
            return Refused(f"{name} is registered and has no champion. Make one: {promote}")
    return Refused(f"There is no model {name!r}. There is: {names}.")


def _ask(home: Path, ask: Callable[[redis.Redis], T]) -> T:
    try:
        with connect_briefly(Redis(url=store_url(home, "DARKROOM_REDIS_URL"))) as client:
            return ask(client)
    except (redis.RedisError, OSError) as error:
        raise Refused(f"The models can't be reached: {first_line(error)}") from None
