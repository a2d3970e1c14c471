"""The models that serve, as the workers published them: a copy in memory, a second old as a rule.

No image is accepted by a copy older than COPY_COUNTS: commands then wait for this gateway no longer.
"""

import logging
import os
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from api.state.refresher import Refresher
from shared.domain.errors import InvalidParameter, StorageUnavailable, UnknownModel
from shared.domain.identifiers import ModelName
from shared.domain.model_reference import Reference
from shared.domain.model_route import Route
from shared.domain.pipeline import Pipeline, parse_named_pipeline, parse_pipeline
from shared.queue.producer.models import COPY_COUNTS, Models, Published, parse_route
from shared.settings import SettingsError

log = logging.getLogger(__name__)

PAUSE: Final = timedelta(seconds=1)
RETIRED: Final = "it is retired"


class ServedModels:
    """Routes by model name; read every second, and once more before a name, an alias or a version is called unknown.

    A model that never loaded has a route too, which says why. A request without a model means the one that workers
    serve now; where none does, the one whose workers are away.
    """

    def __init__(self, models: Models, *, own_pipelines: Mapping[ModelName, Pipeline] | None = None) -> None:
        """`own_pipelines` are those of the settings, by name."""
        self._models = models
        self._routes: dict[ModelName, Route] = {}
        self._raw: dict[ModelName, bytes] = {}
        self._retired: frozenset[ModelName] = frozenset()
        self._meant: list[Route] = []
        self._own = own_pipelines or {}
        self.pipelines: Mapping[ModelName, Pipeline] = self._own
        """The pipelines by name: the served models' tags' and the settings'; a model of the same name hides one."""
        # A process of another container may have the same names.
        self._gateway = f"{socket.gethostname()} {os.getpid()} {secrets.token_hex(4)}"
        self._counts_until = float("-inf")
        self._refresher = Refresher(self._refresh, pause=PAUSE, stale="routes_stale")

    async def get(self, name: ModelName) -> Route:
        """Return a model's route; raises UnknownModel, or StorageUnavailable where Redis can't be asked for it."""
        if name not in self._routes:
            await self._refresher.once_more()
        route = self._routes.get(name)
        if route is None:
            raise self._unknown(name)
        return route

    async def for_reference(self, reference: Reference) -> Route:
        """Return the route that a reference means; the name may be missing where one model serves.

        Its alias or version may still be one that does not serve: choosing it says why. Raises what `get` raises, and
        InvalidParameter for a bare version that may be any model's.
        """
        if time.monotonic() > self._counts_until or not self._resolves(reference):
            # Whoever was told that everything is ready may ask at once.
            await self._refresher.once_more()
        if reference.name is not None:
            route = self._routes.get(reference.name)
            if route is None:
                raise self._unknown(reference.name)
            return route
        if len(self._meant) == 1:
            return self._meant[0]
        names = tuple(route.model for route in self._meant)
        if reference.version is not None and names:
            number = reference.version
            raise InvalidParameter(
                detail=f"version {number} of which model? Write owner/name:name:{number}; there is {', '.join(names)}",
                pointer="/version",
            )
        raise UnknownModel(reference=str(reference), served=names, reason="" if names else self._why_none())

    async def all(self) -> list[Route]:
        """Return every route that serves, by name, those whose workers are away too; read once more where none does."""
        if not self._routes:
            with suppress(StorageUnavailable):
                await self._refresher.once_more()
        return [route for route in self._by_name() if not route.never_loaded]

    async def never_loaded(self) -> list[Route]:
        """Return the routes of which no version ever loaded, by name."""
        return [route for route in self._by_name() if route.never_loaded]

    async def first_read(self) -> None:
        """Return once Redis was asked for the first time."""
        await self._refresher.first_read()

    async def close(self) -> None:
        """Stop reading."""
        await self._refresher.close()

    def _resolves(self, reference: Reference) -> bool:
        """Tell whether the reference means one version, by the last read."""
        if reference.name is None:
            route = self._meant[0] if len(self._meant) == 1 else None
        else:
            route = self._routes.get(reference.name)
        try:
            return route is not None and bool(route.find_version(reference))
        except UnknownModel:
            return False

    def _unknown(self, name: ModelName) -> UnknownModel:
        return UnknownModel(reference=name, served=self._served(), reason=RETIRED if name in self._retired else "")

    def _by_name(self) -> list[Route]:
        return [self._routes[name] for name in sorted(self._routes)]

    def _served(self) -> tuple[ModelName, ...]:
        """Return every name that a request may have, pipelines' after the models'."""
        return (*(route.model for route in self._by_name() if not route.never_loaded), *sorted(self.pipelines))

    def _why_none(self) -> str:
        """Say why nothing serves where all versions failed to load, or models are retired; else an empty string."""
        failed = ((route.model, number, error) for route in self._by_name() for number, error in route.failed.items())
        reason = next((f"version {number} of {model} can't be loaded: {error}" for model, number, error in failed), "")
        if not reason and self._retired:
            reason = f"{', '.join(sorted(self._retired))} {'is' if len(self._retired) == 1 else 'are'} retired"
        return reason

    async def _refresh(self) -> None:
        """Read all routes, and say so, until those count that were read."""
        while True:
            began = time.monotonic()
            published = await self._models.published()
            self._take_over(published)
            if await self._models.answer_by(published, gateway=self._gateway):
                self._counts_until = began + COPY_COUNTS.total_seconds()
                return

    def _take_over(self, published: Published) -> None:
        """Replace the copy; what did not change is not parsed again."""
        if published.routes != self._raw:
            self._routes = {model: parse_route(value) for model, value in published.routes.items()}
            self._raw = published.routes
            self.pipelines = _pipelines(self._by_name(), self._own)
        self._retired = published.retired
        serving = [route for route in self._by_name() if not route.never_loaded]
        self._meant = [route for route in serving if route.model in published.alive] or serving


def own_pipelines(definitions: Mapping[str, Any]) -> dict[ModelName, Pipeline]:
    """Return the pipelines that DARKROOM_PIPELINES defines, by name; raises SettingsError where one is none."""
    found: dict[ModelName, Pipeline] = {}
    for name, definition in definitions.items():
        try:
            found[ModelName(name)] = parse_named_pipeline(name, definition)
        except InvalidParameter as error:
            wrong = f"{name!r} defines no pipeline: {error.detail} {error.pointer}".rstrip()
            raise SettingsError(f"DARKROOM_PIPELINES: {wrong}") from None
    return found


def _pipelines(routes: Sequence[Route], own: Mapping[ModelName, Pipeline]) -> dict[ModelName, Pipeline]:
    """Return the named pipelines; of two with one name the one whose model comes first by name, the settings' last."""
    found: dict[ModelName, Pipeline] = {}
    models = {route.model for route in routes}
    for route in routes:
        for name, definition in route.pipelines.items():
            if name in models or name in found:
                log.warning("pipeline_hidden", extra={"pipeline": name, "model": route.model})
                continue
            try:
                found[name] = parse_pipeline(definition)
            except InvalidParameter as error:  # a worker of another release checked it
                log.warning("pipeline_unusable", extra={"pipeline": name, "reason": error.detail})
    return {name: pipeline for name, pipeline in own.items() if name not in models} | found
