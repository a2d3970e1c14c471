"""What the processes of a stack publish about themselves, read from its Redis: what the gateway answers as status."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import redis

from cli.addresses import store_url
from cli.status.duties import Duty, late_duties
from cli.terminal.refused import Refused
from shared.domain.model_route import Route
from shared.domain.status.process_figures import Published
from shared.domain.status.service_status import Figures
from shared.queue import model_routes
from shared.queue.connection.clients import connect_briefly
from shared.queue.inspection import status_board
from shared.queue.inspection.duties import read_duties
from shared.queue.lua import Scripts
from shared.settings import Redis


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What Redis knows of the service; all of it empty where Redis has not answered."""

    figures: Figures | None = None
    processes: Sequence[Published] = ()
    duties: Mapping[str, Duty] = field(default_factory=dict)
    """Roles whose processes run but whose work is late or missing, by row of `status`."""
    routes: Mapping[str, Route] = field(default_factory=dict)
    """What serves, by model."""


def read_service(home: Path) -> Service | None:
    """Read the service of a home; None where Redis does not answer, which takes some seconds at most."""
    try:
        with connect_briefly(Redis(url=store_url(home, "DARKROOM_REDIS_URL"))) as client:
            call = status_board.read_call()
            board = status_board.parse_board(Scripts(client).run(call.script, call.keys, *call.arguments))
            duties = read_duties(client)
            found = {name: model_routes.read(client, name) for name in model_routes.names(client)}
    except (redis.RedisError, OSError, Refused):
        return None
    return Service(
        figures=board.figures(duties),
        processes=board.processes,
        duties=late_duties(duties),
        routes={name: route for name, route in found.items() if route is not None},
    )
