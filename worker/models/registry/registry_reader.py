"""Reads the MLflow registry: all models with their aliases, tags and versions, and their training's parameters."""

import hashlib
import logging
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from shared.domain.identifiers import ModelName, VersionKey, VersionNumber
from shared.domain.model_route import FOLLOWED
from shared.registry.logged_models import name_filter, version_of_logged
from shared.settings import Registry
from worker.models.metadata.metadata_values import TAG_PREFIX
from worker.models.metadata.model_metadata import CONTRACT_TAGS
from worker.models.registry.mlflow_setup import make_client
from worker.models.registry.registry_snapshot import NotRegistered, ReadyVersion, RegistrySnapshot

log = logging.getLogger(__name__)

READ_BY_NAME: Final = 4
"""Models that are read by their names, with two calls each. More are picked from the list of all: of 200 models with
600 versions it takes two calls, 70 ms of a server's CPU; read by name they take 400 calls, 1 s."""
MODELS_A_PAGE: Final = 1000
VERSIONS_A_PAGE: Final = 10_000
_LOGGED_MODEL = re.compile(r"models:/m-(?P<id>[0-9a-f]{12,})/?")
_NOT_IN_URI = re.compile(r"[?\x00-\x1f]")
"""Characters of a name after which MLflow reads no further in `models:/<name>/<version>`."""
_NOT_THERE = "RESOURCE_DOES_NOT_EXIST"


class RegistryReader:
    """Reads the registry; every method may raise whatever MLflow raises when it is down. Threads may share it."""

    def __init__(self, settings: Registry) -> None:
        self._settings = settings
        self._connection: Any = None

    def read(self, model: ModelName) -> RegistrySnapshot:
        """Return one model as it is now, in two calls; raises NotRegistered."""
        registered = self._call("get_registered_model", model)
        found = _pages(lambda token: self._versions(token, filter_string=name_filter(model)))
        return _snapshot(registered, [version for version in found if version.name == model])

    def read_models(self, names: Collection[ModelName] | None) -> dict[ModelName, RegistrySnapshot]:
        """Return the named models that are registered, or all where `names` is None."""
        if names is not None and len(names) <= READ_BY_NAME:
            return {model: snapshot for model in names if (snapshot := self._read_if_there(model)) is not None}
        models = list(_pages(self._models))
        versions = defaultdict(list)
        for version in _pages(self._versions):
            versions[version.name].append(version)
        wanted = None if names is None else frozenset(names)
        return {
            ModelName(model.name): _snapshot(model, versions[model.name])
            for model in models
            if wanted is None or model.name in wanted
        }

    def ready_version(self, model: ModelName, number: VersionNumber) -> ReadyVersion:
        """Return one version as it is now; raises NotRegistered."""
        return _candidate(self._call("get_model_version", model, number))

    def version_of_logged(self, model: ModelName, uri: str) -> VersionNumber:
        """Return the version that a logged model is, registered now where it is not yet; raises NoLoggedModel."""
        return VersionNumber(version_of_logged(self._client(), model, uri)[0])

    def training_facts(self, candidate: ReadyVersion) -> tuple[dict[str, str], dict[str, float]]:
        """Return the parameters and metrics of a version's training; empty if MLflow no longer has it."""
        try:
            if candidate.logged_model:
                found = self._call("get_logged_model", candidate.logged_model)
                return dict(found.params or {}), {metric.key: metric.value for metric in found.metrics or ()}
            if candidate.run:
                found = self._call("get_run", candidate.run)
                return dict(found.data.params), dict(found.data.metrics)
        except NotRegistered:
            log.info("training_run_gone", extra={"version": candidate.number})
        return {}, {}

    def uri(self, model: ModelName, candidate: ReadyVersion) -> str:
        """Return where MLflow finds the version's files."""
        if _NOT_IN_URI.search(model):
            where: str = self._call("get_model_version_download_uri", model, candidate.number)
            return where
        return f"models:/{model}/{candidate.number}"

    def _read_if_there(self, model: ModelName) -> RegistrySnapshot | None:
        try:
            return self.read(model)
        except NotRegistered:
            return None

    def _models(self, token: str | None) -> Any:
        return self._client().search_registered_models(max_results=MODELS_A_PAGE, page_token=token)

    def _versions(self, token: str | None, filter_string: str | None = None) -> Any:
        return self._client().search_model_versions(filter_string, max_results=VERSIONS_A_PAGE, page_token=token)

    def _client(self) -> Any:
        """Return MLflow's client, made at the first use: making it may already need the registry's database."""
        if self._connection is None:
            self._connection = make_client(self._settings)
        return self._connection

    def _call(self, method: str, *arguments: str) -> Any:
        """Call a method of the client; raises NotRegistered where the registry answers that there is no such thing."""
        try:
            return getattr(self._client(), method)(*arguments)
        except Exception as error:
            if getattr(error, "error_code", "") == _NOT_THERE:
                raise NotRegistered(str(error)) from error
            raise


def _pages(page: Callable[[str | None], Any]) -> Iterator[Any]:
    """Yield what all pages of a list hold; `page` returns one for its token, None for the first."""
    token: str | None = None
    while True:
        found = page(token)
        yield from found
        token = found.token
        if not token:
            return


def _snapshot(model: Any, versions: Iterable[Any]) -> RegistrySnapshot:
    """Read MLflow's registered model and its versions."""
    candidates = [_candidate(version) for version in versions if version.status == "READY"]
    return RegistrySnapshot(
        description=model.description or "",
        aliases={alias: VersionNumber(str(number)) for alias, number in model.aliases.items() if alias in FOLLOWED},
        versions={candidate.number: candidate for candidate in candidates},
        tags=_own_tags(model),
    )


def _candidate(version: Any) -> ReadyVersion:
    """Read MLflow's model version, whose number is an integer or a text, depending on the store."""
    logged = _LOGGED_MODEL.fullmatch(version.source or "")
    origin = logged["id"] if logged else version.run_id or hashlib.sha256((version.source or "").encode()).hexdigest()
    tags = _own_tags(version)
    created = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC)
    return ReadyVersion(
        number=VersionNumber(str(version.version)),
        key=version_key(str(version.version), origin[:12], tags),
        created_at=created.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        logged_model=f"m-{logged['id']}" if logged else "",
        run=version.run_id or "",
        tags=tags,
    )


def version_key(number: str, origin: str, tags: Mapping[str, str]) -> VersionKey:
    """Return the key of a version: its number, where its files are from, and a digest of the tags that change outputs.

    So a changed tag makes another version of the same number: it is loaded and handed over as a promotion is, no cached
    output of the one before answers for it, and where the tag is wrong the one before goes on serving.
    """
    contract = sorted((name, value) for name, value in tags.items() if name in CONTRACT_TAGS)
    said = f".{hashlib.sha256(repr(contract).encode()).hexdigest()[:6]}" if contract else ""
    return VersionKey(f"{number}-{origin}{said}")


def _own_tags(one: Any) -> dict[str, str]:
    """Return those tags of a model or version that are Darkroom's."""
    return {name: value for name, value in (one.tags or {}).items() if name.startswith(TAG_PREFIX)}
