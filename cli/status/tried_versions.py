"""What is tried beside the champions: shadows and canaries, from the routes in Redis and the processes' figures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from shared.domain.model_route import SHADOW, Route
from shared.domain.status.computation import queue_facts
from shared.domain.status.process_figures import Published, values


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


def tried_versions(routes: Mapping[str, Route], processes: Sequence[Published]) -> list[TriedVersions]:
    """Return the models that have a shadow or have had a canary, by name."""
    found = [
        TriedVersions(model=model, shadow=_shadow(model, route, processes), canary=route.canary)
        for model, route in sorted(routes.items())
    ]
    return [one for one in found if one.shadow or one.canary]


def _shadow(model: str, route: Route, processes: Sequence[Published]) -> ShadowFigures | None:
    if SHADOW not in route.aliases:
        return None
    version = str(route.aliases[SHADOW])
    recorded = _sums(
        (labels[1], value)
        for labels, value in values(processes, "darkroom_shadow_predictions_total")
        if labels[:2] == (model, version)
    )
    skipped = _sums(
        (labels[1], value) for labels, value in values(processes, "darkroom_shadow_skipped_total") if labels[0] == model
    )
    return ShadowFigures(
        version=version,
        percent=route.shadow_percent if route.shadow_target() else 0,
        waiting=queue_facts(processes).get("shadow_entries", {}).get(model, 0),
        recorded=recorded.get(version, 0),
        skipped={reason: count for reason, count in sorted(skipped.items()) if count},
    )


def _sums(counted: Iterable[tuple[str, float]]) -> dict[str, int]:
    """Return the sums by key: several processes count."""
    found: dict[str, int] = {}
    for key, value in counted:
        found[key] = found.get(key, 0) + int(value)
    return found
