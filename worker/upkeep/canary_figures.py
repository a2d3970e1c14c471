"""Reads the figures of running canaries from Postgres and writes them to Redis, for the workers that move canaries."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import redis
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from shared.domain.canary import Canary, Figures
from shared.domain.identifiers import ModelName
from shared.domain.model_route import CHALLENGER, CHAMPION
from shared.domain.prediction import ErrorCode
from shared.domain.version_figures import VersionFigures
from shared.queue import canary_figures
from shared.storage.model_report import read_shadow_agreement
from shared.storage.version_figures import read_version_figures

log = logging.getLogger(__name__)

FAULTS: Final = (ErrorCode.MODEL_ERROR, ErrorCode.WORKER_LOST)
"""Errors that count against a version; an image that nobody can decode says nothing about it."""


class CanaryFigures:
    """Reads them with each sweep, in any number of processes; while no canary runs that is one short call of Redis."""

    def __init__(self, client: redis.Redis, engine: Engine) -> None:
        self._client = client
        self._engine = engine

    def sweep(self) -> int:
        """Write the figures of every canary; return of how many. While Postgres is away nothing is written."""
        running = canary_figures.running(self._client)
        if not running:
            return 0
        try:
            with self._engine.connect() as connection:
                for model, canary in running.items():
                    found = figures_of_canary(connection, model, canary)
                    canary_figures.write_figures(self._client, model, canary, found)
        except SQLAlchemyError as error:
            log.warning("canary_figures_put_off", extra={"error": type(error).__name__})
            return 0
        return len(running)


def figures_of_canary(connection: Connection, model: ModelName, canary: Canary) -> Figures:
    """Return what a canary is judged by: figures since the step began.

    Where the champion has computed too few images since then to be compared with, its own are those since the canary
    began. Of the same time, for what makes everybody slow says nothing about a version.
    """
    began, since = (datetime.fromtimestamp(seconds, UTC) for seconds in (canary.began, canary.since))
    figures = read_version_figures(connection, model, since=since, versions=[canary.version, canary.champion])
    own, champion = _of(figures, canary.version, CHALLENGER), _of(figures, canary.champion, CHAMPION)
    if champion is None or champion.total_ms is None or sum(champion.total_ms.counts) < canary.min_images:
        before = read_version_figures(connection, model, since=began, versions=[canary.champion])
        champion = _of(before, canary.champion, CHAMPION)
    agreed, compared = (0, 0)
    if canary.min_agreement is not None:
        for shadow in read_shadow_agreement(connection, model, since=began, versions=[canary.version]):
            agreed, compared = shadow.agreed, shadow.compared
    errors = sum(own.errors.get(code, 0) for code in FAULTS) if own else 0
    return Figures(
        ended=(own.statuses.get("succeeded", 0) if own else 0) + errors,
        errors=errors,
        p99_ms=own.total_ms.p99 if own and own.total_ms else None,
        champion_p99_ms=champion.total_ms.p99 if champion and champion.total_ms else None,
        agreed=agreed,
        compared=compared,
    )


def _of(found: Mapping[tuple[str, str], VersionFigures], version: str, variant: str) -> VersionFigures | None:
    return found.get((version, variant))
