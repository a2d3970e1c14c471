"""What the MLflow registry says of models at one moment, as workers hand it to each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from shared.domain.identifiers import ModelName, VersionKey, VersionNumber


class NotRegistered(Exception):
    """The registry answers that there is no such model or version."""


def files_of(key: VersionKey) -> str:
    """Return the part of a version's key that names its files, whatever its tags were."""
    return key.partition(".")[0]


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
    """One model: the aliases that are followed, all ready versions, and Darkroom's tags of the registered model.

    `pin` says in words what DARKROOM_REGISTRY_PINS makes of it, where that names the model.
    """

    description: str = ""
    aliases: dict[str, VersionNumber] = field(default_factory=dict)
    versions: dict[VersionNumber, ReadyVersion] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    pin: str = ""

    def named(self) -> dict[str, ReadyVersion]:
        """Return the version that each alias names, of those that are ready."""
        return {alias: self.versions[number] for alias, number in self.aliases.items() if number in self.versions}


Snapshots = Mapping[ModelName, RegistrySnapshot]
"""All models that were read, by name; a model that is missing is not registered."""


def to_json(snapshots: Snapshots) -> bytes:
    """Return snapshots as text; equal ones give equal texts."""
    return orjson.dumps(dict(snapshots), option=orjson.OPT_SORT_KEYS)


def from_json(data: bytes) -> Snapshots:
    """Return what `to_json` wrote; raises KeyError, TypeError or ValueError for the text of another release."""
    return {ModelName(model): _snapshot(members) for model, members in orjson.loads(data).items()}


def _snapshot(members: dict[str, Any]) -> RegistrySnapshot:
    versions = {number: ReadyVersion(**version) for number, version in members["versions"].items()}
    return RegistrySnapshot(**{**members, "versions": versions})
