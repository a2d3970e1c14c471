"""Writes a registered model's aliases and tags through MLflow's client, for the commands and the workers."""

from collections.abc import Callable
from typing import Any

from shared.domain.identifiers import ModelName, VersionNumber


class RegistryWriter:
    """Every method may raise whatever MLflow raises, and may be repeated."""

    def __init__(self, client: Callable[[], Any]) -> None:
        """`client` returns MLflow's client; it is called at each write."""
        self._client = client

    def set_tag(self, model: ModelName, name: str, value: str) -> None:
        """Set a tag of the registered model."""
        self._client().set_registered_model_tag(model, name, value)

    def delete_tag(self, model: ModelName, name: str) -> None:
        """Delete a tag of the registered model; one that is not there is none."""
        self._client().delete_registered_model_tag(model, name)

    def set_alias(self, model: ModelName, alias: str, version: VersionNumber) -> None:
        """Point an alias at a version."""
        self._client().set_registered_model_alias(model, alias, version)

    def delete_alias(self, model: ModelName, alias: str) -> None:
        """Delete an alias; one that is not there is none."""
        self._client().delete_registered_model_alias(model, alias)
