"""Which models of a stack that has started do not serve, and why, with what to type."""

from pathlib import Path

import redis

from cli.home import command_line, first_model_lines
from cli.stack.supervisor.state import StackState
from shared.domain.identifiers import ModelName
from shared.domain.model_route import CHAMPION, Route
from shared.queue import model_routes
from shared.queue.connection.clients import connect_briefly
from shared.settings import Redis


def model_notes(state: StackState, home: Path) -> list[str]:
    """Return a line for each model that does not serve as the registry says; empty where all do.

    Of a stack that serves all models, those that workers have published.
    """
    try:
        with connect_briefly(Redis(url=state.stores["DARKROOM_REDIS_URL"])) as client:
            published = model_routes.names(client)
            routes = {name: model_routes.read(client, name) for name in published}
            retired = set(model_routes.retired(client))
    except (redis.RedisError, OSError):
        return []  # it has just answered; `status` says more
    names = [ModelName(name) for name in state.models] or sorted({*published, *retired})
    if not names:
        said = "No model serves. Register one, in MLflow or like this, and make it the champion:"
        return [f"{said}\n{first_model_lines(home)}"]
    notes = [_note(name, routes.get(name), home, is_retired=name in retired) for name in names]
    return [note for note in notes if note]


def _note(name: ModelName, route: Route | None, home: Path, *, is_retired: bool) -> str:
    if is_retired:
        return f"{name} is retired. Bring it back: {command_line(f'models restore {name}', home)}"
    serving = route.aliases.get(CHAMPION) if route else None
    if route is not None and route.failed:
        why = "; ".join(f"version {number} can't be loaded: {reason}" for number, reason in route.failed.items())
        return f"{name} {f'serves version {serving}, but' if serving else 'does not serve:'} {why}"
    if serving is not None:
        return ""
    if route is not None and route.versions:
        return f"{name} has no champion. Make one: {command_line(f'models promote {name} latest', home)}"
    lines = first_model_lines(home).replace("NAME", name)
    return f"{name} is not registered. Register it, in MLflow or like this, and make it the champion:\n{lines}"
