"""What is tried beside the champions: shadows and canaries, from the routes in Redis and the processes' metrics."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import redis

from cli.addresses import store_url
from cli.stack.supervisor.state import StackState
from cli.status import scraping
from cli.status.scraping import Scrape
from cli.terminal.refused import Refused
from shared.domain.model_route import SHADOW, Route
from shared.queue import model_routes
from shared.queue.connection.clients import connect_briefly
from shared.settings import Redis


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowFigures:
    """A model's shadow. `recorded` and `skipped`, by reason, count images since the processes were started."""

    version: str
    percent: int
    waiting: int
    recorded: int
    skipped: dict[str, int] = field(default_factory=dict)

    def words(self) -> str:
        """Return the figures in a line."""
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.skipped.items())
        skipped = f"{sum(self.skipped.values()):,}" + (f" ({reasons})" if reasons else "")
        return (
            f"version {self.version} is the shadow of {self.percent}%: {self.waiting:,} waiting, "
            f"{self.recorded:,} recorded, {skipped} skipped"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedVersions:
    """One model's shadow, None without one, and where its canary is, empty where it never had one."""

    model: str
    shadow: ShadowFigures | None
    canary: str


def read_routes(home: Path) -> dict[str, Route]:
    """Return the models' routes by name; none where Redis does not answer."""
    try:
        with connect_briefly(Redis(url=store_url(home, "DARKROOM_REDIS_URL"))) as client:
            found = {name: model_routes.read(client, name) for name in model_routes.names(client)}
    except (redis.RedisError, OSError, Refused):
        return {}
    return {name: route for name, route in found.items() if route is not None}


def read_tried(home: Path, state: StackState) -> list[TriedVersions]:
    """Return what is tried now; the processes are asked for their metrics only where there is a shadow."""
    routes = read_routes(home)
    if not any(SHADOW in route.aliases for route in routes.values()):
        return tried_versions(routes, [])
    programs = [program for role in ("predict", "record") for program in state.of_role(role)]
    urls = {one.name: one.metrics_url for one in programs if one.metrics_url and one.process}
    return tried_versions(routes, scraping.scrape_all(urls).values())


def tried_versions(routes: Mapping[str, Route], scrapes: Iterable[Scrape]) -> list[TriedVersions]:
    """Return the models that have a shadow or have had a canary, by name."""
    scrapes = list(scrapes)
    found = [
        TriedVersions(model=model, shadow=_shadow(model, route, scrapes), canary=route.canary)
        for model, route in sorted(routes.items())
    ]
    return [one for one in found if one.shadow or one.canary]


def _shadow(model: str, route: Route, scrapes: Iterable[Scrape]) -> ShadowFigures | None:
    if SHADOW not in route.aliases:
        return None
    version = str(route.aliases[SHADOW])
    waiting = _by_label(scrapes, scraping.SHADOW_WAITING, "model", {"model": model}, add=max)
    recorded = _by_label(scrapes, scraping.SHADOW_RECORDED, "version", {"model": model, "version": version})
    skipped = _by_label(scrapes, scraping.SHADOW_SKIPPED, "reason", {"model": model})
    return ShadowFigures(
        version=version,
        percent=route.shadow_percent if route.shadow_target() else 0,
        waiting=waiting.get(model, 0),
        recorded=recorded.get(version, 0),
        skipped={reason: count for reason, count in sorted(skipped.items()) if count},
    )


def _by_label(
    scrapes: Iterable[Scrape],
    name: str,
    label: str,
    wanted: Mapping[str, str],
    *,
    add: Callable[[int, int], int] = int.__add__,
) -> dict[str, int]:
    """Return the values of a metric's wanted series by one label; those of several processes are added, or `max`."""
    found: dict[str, int] = {}
    for series, value in ((series, value) for scrape in scrapes for series, value in scrape.values.items()):
        if series.name == name and wanted.items() <= series.by.items():
            key = series.by[label]
            found[key] = add(found.get(key, 0), int(value))
    return found
