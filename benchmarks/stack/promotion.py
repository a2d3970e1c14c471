"""Promotes versions in a stack's MLflow registry over its REST API: importing MLflow costs seconds of a core."""

from collections.abc import Iterable
from typing import Any

import httpx

from benchmarks.stack.darkroom import Stack


class Promotions:
    """One model's versions; every method raises what httpx raises where MLflow refuses."""

    def __init__(self, stack: Stack) -> None:
        login = stack.registry.get("MLFLOW_TRACKING_USERNAME", ""), stack.registry.get("MLFLOW_TRACKING_PASSWORD", "")
        self._model = stack.model
        self._client = httpx.Client(
            base_url=f"{stack.registry['MLFLOW_TRACKING_URI']}/api/2.0/mlflow",
            auth=login,
            timeout=30,
        )

    def register_again(self) -> str:
        """Register the champion's files as one more version; return its number."""
        champion = self._call("GET", "registered-models/alias", params={"name": self._model, "alias": "champion"})
        source = champion["model_version"]["source"]
        # MLflow 3 has models in a store of their own, and wants their id beside it.
        named = {"model_id": source.rpartition("/")[2]} if source.startswith("models:/m-") else {}
        made = self._call("POST", "model-versions/create", json={"name": self._model, "source": source, **named})
        return str(made["model_version"]["version"])

    def register_as(self, names: Iterable[str]) -> None:
        """Register the champion's files under each of these names too, as champion; those that are there stay."""
        champion = self._call("GET", "registered-models/alias", params={"name": self._model, "alias": "champion"})
        source = champion["model_version"]["source"]
        named = {"model_id": source.rpartition("/")[2]} if source.startswith("models:/m-") else {}
        for name in names:
            asked = {"name": name, "alias": "champion"}
            if self._client.get("/registered-models/alias", params=asked).is_success:
                continue
            self._client.post("/registered-models/create", json={"name": name})
            made = self._call("POST", "model-versions/create", json={"name": name, "source": source, **named})
            number = str(made["model_version"]["version"])
            self._call("POST", "registered-models/alias", json={**asked, "version": number})

    def promote(self, version: str) -> None:
        """Point the alias `champion` at a version."""
        self.alias("champion", version)

    def alias(self, alias: str, version: str) -> None:
        """Point an alias at a version."""
        self._call("POST", "registered-models/alias", json={"name": self._model, "alias": alias, "version": version})

    def tag(self, key: str, value: str) -> None:
        """Set a tag of the registered model."""
        self._call("POST", "registered-models/set-tag", json={"name": self._model, "key": key, "value": value})

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _call(self, method: str, path: str, **options: Any) -> Any:
        answer = self._client.request(method, f"/{path}", **options)
        answer.raise_for_status()
        return answer.json()
