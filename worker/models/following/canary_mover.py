"""Moves running canaries: reads the state from the registry's tag, changes aliases and share, writes the next state.

Any number of workers may: one at a time has the turn of a model. Every change may be made twice, and a worker that is
killed at any line leaves a state from which the next one goes on.
"""

import logging
from dataclasses import replace
from typing import Final

import redis

from shared.domain.canary import CANARY_TAG, Canary, Phase, decide, decide_deleted, decide_unloadable
from shared.domain.canary_traffic import Traffic, changed_by_others, left_share, wanted_traffic
from shared.domain.identifiers import ModelName
from shared.domain.model_route import CHALLENGER, CHALLENGER_PERCENT, CHAMPION, PREVIOUS_CHAMPION
from shared.domain.registry_change import Registry
from shared.domain.written_numbers import whole_number
from shared.queue import canary_figures, model_routes
from worker.models.failure_text import failure_text
from worker.models.registry.registry_in_turn import RegistryInTurn
from worker.models.registry.registry_snapshot import RegistrySnapshot, Snapshots

log = logging.getLogger(__name__)

_NO_SHARE: Final = -1
"""A share that is no number: never what a canary has set."""


class CanaryMover:
    """The canaries as one worker takes part in moving them; called from one thread."""

    def __init__(self, registry: RegistryInTurn, *, client: redis.Redis) -> None:
        self._registry = registry
        self._client = client
        self._told: dict[ModelName, str] = {}

    def move_all(self, snapshots: Snapshots) -> None:
        """Move every canary of these models that is due; what fails is logged once and tried again by the next call."""
        for model, snapshot in snapshots.items():
            text = snapshot.tags.get(CANARY_TAG)
            if text is None:
                continue
            try:
                canary = Canary.from_text(text)
                if canary.is_running:
                    canary_figures.ask_for(self._client, model, canary)
                if canary.is_running or canary.moving:
                    self.move(model)
                self._told.pop(model, None)
            except Exception as error:  # noqa: BLE001  MLflow's stores and Redis raise all kinds of errors
                self._tell(model, failure_text(error))

    def move(self, model: ModelName) -> None:
        """Make one move, if one is due and the turn is free. Safe to repeat, and to kill anywhere."""
        with self._registry.turn(model) as writer:
            if writer is not None:
                self._move(model, writer)

    def _move(self, model: ModelName, writer: Registry) -> None:
        """Make one move, if one is due, by what the registry says now."""
        found = self._registry.read(model)
        text = found.tags.get(CANARY_TAG)
        if text is None:
            return
        canary = Canary.from_text(text)
        if not canary.is_running and not canary.moving:
            return
        if canary.version not in found.versions:
            canary = decide_deleted(canary, now=self._registry.now())
        others = changed_by_others(canary, traffic_of(found))
        if others:
            reason = others + left_share(canary, traffic_of(found))
            self._write(
                writer,
                model,
                replace(canary, phase=Phase.ENDED, moving=False, since=self._registry.now(), reason=reason),
            )
            return
        if canary.moving:
            self._settle(writer, model, canary, traffic_of(found))
            return
        after = self._decide(model, canary)
        if after != canary:
            self._write(writer, model, after)
            if after.moving:
                self._settle(writer, model, after, traffic_of(found))

    def _decide(self, model: ModelName, canary: Canary) -> Canary:
        """Return the state that follows from the published route and the figures; the same while there are none."""
        route = model_routes.read(self._client, model)
        failure = route.load_failure(canary.version) if route else ""
        if failure:
            # It answers nothing, so figures have nothing to say.
            return decide_unloadable(canary, failure, now=self._registry.now())
        canary_figures.ask_for(self._client, model, canary)
        figures = canary_figures.read_figures(self._client, model, canary)
        return canary if figures is None else decide(canary, figures, now=self._registry.now())

    def _settle(self, writer: Registry, model: ModelName, canary: Canary, found: Traffic) -> None:
        """Change the registry to what the state says, then write that it is so; a step's time begins now."""
        wanted = wanted_traffic(canary)
        if wanted is not None:
            _apply(writer, model, canary, wanted, found)
        self._write(writer, model, replace(canary, moving=False, since=self._registry.now()))

    def _write(self, writer: Registry, model: ModelName, canary: Canary) -> None:
        writer.set_tag(model, CANARY_TAG, canary.to_text())
        if not canary.is_running:
            canary_figures.stop_asking(self._client, model)
        log.info("canary_moved", extra={"model": model, "phase": canary.phase, "canary": canary.words()})

    def _tell(self, model: ModelName, reason: str) -> None:
        if self._told.get(model) != reason:
            log.warning("canary_not_moved", extra={"model": model, "reason": reason})
            self._told[model] = reason


def _apply(writer: Registry, model: ModelName, canary: Canary, wanted: Traffic, found: Traffic) -> None:
    if wanted.percent is not None and wanted.percent != found.percent:
        # Before the alias: killed in between, the version does not get another share than its own.
        writer.set_tag(model, CHALLENGER_PERCENT, str(wanted.percent))
    if wanted.champion is not None and wanted.champion != found.champion:
        # First: killed in between, `rollback` goes to the version that still serves.
        writer.set_tag(model, PREVIOUS_CHAMPION, canary.champion)
        writer.set_alias(model, CHAMPION, wanted.champion)
    if wanted.challenger is not None and wanted.challenger != found.challenger:
        writer.set_alias(model, CHALLENGER, wanted.challenger)
    if wanted.challenger is None and found.challenger is not None:
        writer.delete_alias(model, CHALLENGER)
    if wanted.percent is None and found.percent is not None:
        writer.delete_tag(model, CHALLENGER_PERCENT)


def traffic_of(found: RegistrySnapshot) -> Traffic:
    """Return champion, challenger and share as the registry has them."""
    share = found.tags.get(CHALLENGER_PERCENT)
    return Traffic(
        champion=found.aliases.get(CHAMPION),
        challenger=found.aliases.get(CHALLENGER),
        percent=None if share is None else _percent(share),
    )


def _percent(text: str) -> int:
    percent = whole_number(text, most=100)
    return _NO_SHARE if percent is None else percent
