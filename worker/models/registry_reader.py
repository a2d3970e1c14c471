"""What the MLflow registry says of one model: its aliases, its ready versions, what trained them."""

import hashlib
import logging
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shared.domain.identifiers import ModelName, VersionKey, VersionNumber
from shared.domain.model_route import FOLLOWED
from shared.settings import Registry
from worker.models.mlflow_setup import configure_mlflow_client

log = logging.getLogger(__name__)

CHALLENGER_TAG = "darkroom.challenger_percent"
_LOGGED_MODEL = re.compile(r"models:/m-(?P<id>[0-9a-f]{12,})/?")
_NOT_IN_URI = re.compile(r"[?\x00-\x1f]")
"""What MLflow takes for the end of a name in `models:/<name>/<version>`."""
_NOT_THERE = "RESOURCE_DOES_NOT_EXIST"


class NotRegistered(Exception):
    """The registry answers, and knows no such model or version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyVersion:
    """One ready version. `logged_model` and `run` are MLflow's ids of what is behind it, or empty."""

    number: VersionNumber
    key: VersionKey
    created_at: str
    logged_model: str
    run: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySnapshot:
    """One look at the registry: the aliases that are followed, and all ready versions."""

    description: str
    aliases: dict[str, VersionNumber]
    challenger_percent: int
    versions: dict[VersionNumber, ReadyVersion]


class RegistryReader:
    """Reads one model's entries; every method may raise whatever MLflow does when it is down."""

    def __init__(self, model: ModelName, settings: Registry) -> None:
        self._model = model
        self._settings = settings
        self._connection: Any = None
        self._odd_share: str | None = None

    def look(self) -> RegistrySnapshot:
        """Return what is registered now, in two calls; raises NotRegistered."""
        model = self._ask("get_registered_model", self._model)
        found = self._client().search_model_versions(_named(self._model))
        versions = [version for version in found if version.name == self._model]
        candidates = [_candidate(version) for version in versions if version.status == "READY"]
        return RegistrySnapshot(
            description=model.description or "",
            aliases={alias: VersionNumber(str(number)) for alias, number in model.aliases.items() if alias in FOLLOWED},
            challenger_percent=self._percent(model.tags.get(CHALLENGER_TAG, "0")),
            versions={candidate.number: candidate for candidate in candidates},
        )

    def candidate(self, number: VersionNumber) -> ReadyVersion:
        """Return one version as it is now; raises NotRegistered."""
        return _candidate(self._ask("get_model_version", self._model, number))

    def facts(self, candidate: ReadyVersion) -> tuple[dict[str, str], dict[str, float]]:
        """Return the parameters and metrics of the training behind a version; empty if it is gone."""
        try:
            if candidate.logged_model:
                found = self._ask("get_logged_model", candidate.logged_model)
                return dict(found.params or {}), {metric.key: metric.value for metric in found.metrics or ()}
            if candidate.run:
                found = self._ask("get_run", candidate.run)
                return dict(found.data.params), dict(found.data.metrics)
        except NotRegistered:
            log.info("training_run_gone", extra={"version": candidate.number})
        return {}, {}

    def uri(self, candidate: ReadyVersion) -> str:
        """Return where MLflow finds the version's files."""
        if _NOT_IN_URI.search(self._model):
            where: str = self._ask("get_model_version_download_uri", self._model, candidate.number)
            return where
        return f"models:/{self._model}/{candidate.number}"

    def _client(self) -> Any:
        """Return MLflow's client, connecting at the first use: a database may be down by then."""
        if self._connection is None:
            configure_mlflow_client(self._settings)
            from mlflow.tracking import MlflowClient  # noqa: PLC0415  reads the environment above

            self._connection = MlflowClient(self._settings.url, self._settings.url)
        return self._connection

    def _ask(self, question: str, *arguments: str) -> Any:
        """Call the client; raises NotRegistered where the answer is that there is no such thing."""
        try:
            return getattr(self._client(), question)(*arguments)
        except Exception as error:
            if getattr(error, "error_code", "") == _NOT_THERE:
                raise NotRegistered(str(error)) from error
            raise

    def _percent(self, text: str) -> int:
        """Read the challenger's share; what is no percentage sends it nothing, and is logged once."""
        if text.isdecimal() and int(text) <= 100:  # noqa: PLR2004  per cent
            return int(text)
        if text != self._odd_share:
            log.warning("challenger_percent_ignored", extra={"value": text})
            self._odd_share = text
        return 0


def _named(model: str) -> str | None:
    """Return MLflow's filter for a model's versions; None, which finds every model's, where it can't be written."""
    quote = next((mark for mark in "'\"" if mark not in model), None)
    return quote and f"name={quote}{model}{quote}"


def _candidate(version: Any) -> ReadyVersion:
    """Read MLflow's model version. Its number comes as a whole number or as text, by the store."""
    logged = _LOGGED_MODEL.fullmatch(version.source or "")
    behind = logged["id"] if logged else version.run_id or hashlib.sha256((version.source or "").encode()).hexdigest()
    created = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC)
    return ReadyVersion(
        number=VersionNumber(str(version.version)),
        key=VersionKey(f"{version.version}-{behind[:12]}"),
        created_at=created.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        logged_model=f"m-{logged['id']}" if logged else "",
        run=version.run_id or "",
    )
