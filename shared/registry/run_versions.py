"""Models that a training run logged and nobody registered: `runs:/<id>/<path>` becomes a version, once."""

import re
from typing import Any, Final

RUNS: Final = "runs:/"
_URI: Final = re.compile(r"runs:/(?P<run>[0-9a-zA-Z_-]+)/(?P<path>.+?)/?")


class NoRunModel(ValueError):
    """A `runs:/…` that is none, or that names a model which the run has not logged; the message says which."""


def version_of_run(client: Any, name: str, uri: str) -> tuple[str, bool]:
    """Return the number of the version of `name` that a run's model is, and whether it was registered only now.

    `client` is MLflow's. Raises NoRunModel and what MLflow raises. Safe to repeat: the same run is the same version.
    """
    asked = _URI.fullmatch(uri)
    if asked is None:
        raise NoRunModel(f"Write a run's model as runs:/ID/PATH, as runs:/0a1b2c/model; not {uri!r}.")
    model = _logged_model(client, asked["run"], asked["path"])
    source, logged = (f"models:/{model.model_id}", model.model_id) if model is not None else (None, None)
    if source is None:
        source = _artifact(client, asked["run"], asked["path"])
    found = client.search_model_versions(name_filter(name))
    known = [one.version for one in found if (one.name, one.source, one.status) == (name, source, "READY")]
    if known:
        return str(max(known, key=int)), False
    if name not in [one.name for one in client.search_registered_models()]:
        client.create_registered_model(name)
    version = client.create_model_version(name, source, run_id=asked["run"], model_id=logged)
    return str(version.version), True


def name_filter(model: str) -> str | None:
    """Return MLflow's filter for a model's versions; None, which matches every model's, if the name can't be quoted."""
    quote = next((mark for mark in "'\"" if mark not in model), None)
    return quote and f"name={quote}{model}{quote}"


def _logged_model(client: Any, run: str, name: str) -> Any:
    """Return the newest model that the run logged under a name; None for a run of MLflow 2, whose models are files."""
    outputs = getattr(client.get_run(run).outputs, "model_outputs", ())
    found = [client.get_logged_model(one.model_id) for one in outputs]
    named = [model for model in found if model.name == name]
    return max(named, key=lambda model: model.creation_timestamp, default=None)


def _artifact(client: Any, run: str, path: str) -> str:
    """Return where a run's artifact is that is a model; raises NoRunModel where it has none of that path."""
    files = [file.path for file in client.list_artifacts(run, path)]
    where = client.get_run(run).info.artifact_uri
    if f"{path}/MLmodel" not in files:
        raise NoRunModel(f"Run {run} has logged no model {path!r}.")
    return f"{where}/{path}"
