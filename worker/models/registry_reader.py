"""Reads one model from the MLflow registry: its aliases, its ready versions, and their training's parameters."""

import hashlib
import logging
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from shared.domain.identifiers import ModelName, VersionKey, VersionNumber
from shared.domain.model_route import FOLLOWED
from shared.settings import Registry
from worker.models.metadata_values import TAG_PREFIX
from worker.models.mlflow_setup import configure_mlflow_client

log = logging.getLogger(__name__)

CHALLENGER_TAG = f"{TAG_PREFIX}challenger_percent"
_LOGGED_MODEL = re.compile(r"models:/m-(?P<id>[0-9a-f]{12,})/?")
_NOT_IN_URI = re.compile(r"[?\x00-\x1f]")
"""Characters of a name after which MLflow reads no further in `models:/<name>/<version>`."""
_NOT_THERE = "RESOURCE_DOES_NOT_EXIST"


class NotRegistered(Exception):
    """The registry answers that there is no such model or version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyVersion:
    """One ready version, as it was when it was read.

    `logged_model` and `run` are MLflow's ids of what it came from, or empty; `tags` are those of Darkroom.
    """

    number: VersionNumber
    key: VersionKey
    created_at: str
    logged_model: str
    run: str
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySnapshot:
    """What is registered at one moment: the aliases that are followed, and all ready versions."""

    description: str
    aliases: dict[str, VersionNumber]
    challenger_percent: int
    versions: dict[VersionNumber, ReadyVersion]


class RegistryReader:
    """Reads one model's entries; every method may raise whatever MLflow raises when it is down."""

    def __init__(self, model: ModelName, settings: Registry) -> None:
        self._model = model
        self._settings = settings
        self._connection: Any = None
        self._invalid_share: str | None = None

    def read(self) -> RegistrySnapshot:
        """Return what is registered now, in two calls; raises NotRegistered."""
        model = self._call("get_registered_model", self._model)
        found = self._client().search_model_versions(_name_filter(self._model))
        versions = [version for version in found if version.name == self._model]
        candidates = [_candidate(version) for version in versions if version.status == "READY"]
        return RegistrySnapshot(
            description=model.description or "",
            aliases={alias: VersionNumber(str(number)) for alias, number in model.aliases.items() if alias in FOLLOWED},
            challenger_percent=self._percent(model.tags.get(CHALLENGER_TAG, "0")),
            versions={candidate.number: candidate for candidate in candidates},
        )

    def ready_version(self, number: VersionNumber) -> ReadyVersion:
        """Return one version as it is now; raises NotRegistered."""
        return _candidate(self._call("get_model_version", self._model, number))

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

    def uri(self, candidate: ReadyVersion) -> str:
        """Return where MLflow finds the version's files."""
        if _NOT_IN_URI.search(self._model):
            where: str = self._call("get_model_version_download_uri", self._model, candidate.number)
            return where
        return f"models:/{self._model}/{candidate.number}"

    def _client(self) -> Any:
        """Return MLflow's client, made at the first use: making it may already need the registry's database."""
        if self._connection is None:
            configure_mlflow_client(self._settings)
            from mlflow.tracking import MlflowClient  # noqa: PLC0415  reads the environment that is set above

            self._connection = MlflowClient(self._settings.url, self._settings.url)
        return self._connection

    def _call(self, method: str, *arguments: str) -> Any:
        """Call a method of the client; raises NotRegistered where the registry answers that there is no such thing."""
        try:
            return getattr(self._client(), method)(*arguments)
        except Exception as error:
            if getattr(error, "error_code", "") == _NOT_THERE:
                raise NotRegistered(str(error)) from error
            raise

    def _percent(self, text: str) -> int:
        """Return the challenger's share of the traffic in per cent; 0 for a tag that is no percentage, logged once."""
        if text.isdecimal() and int(text) <= 100:  # noqa: PLR2004  per cent
            return int(text)
        if text != self._invalid_share:
            log.warning("challenger_percent_ignored", extra={"value": text})
            self._invalid_share = text
        return 0


def _name_filter(model: str) -> str | None:
    """Return MLflow's filter for a model's versions; None, which matches every model's, if the name can't be quoted."""
    quote = next((mark for mark in "'\"" if mark not in model), None)
    return quote and f"name={quote}{model}{quote}"


def _candidate(version: Any) -> ReadyVersion:
    """Read MLflow's model version, whose number is an integer or a text, depending on the store."""
    logged = _LOGGED_MODEL.fullmatch(version.source or "")
    origin = logged["id"] if logged else version.run_id or hashlib.sha256((version.source or "").encode()).hexdigest()
    created = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC)
    return ReadyVersion(
        number=VersionNumber(str(version.version)),
        key=VersionKey(f"{version.version}-{origin[:12]}"),
        created_at=created.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        logged_model=f"m-{logged['id']}" if logged else "",
        run=version.run_id or "",
        tags={name: value for name, value in (version.tags or {}).items() if name.startswith(TAG_PREFIX)},
    )
