"""What was logged and nobody registered, `runs:/<id>/<path>` or `models:/m-<id>`: it becomes a version, once."""

import re
from typing import Any, Final

_RUNS: Final = "runs:/"
_LOGGED: Final = "models:/"
_URI: Final = re.compile(r"runs:/(?P<run>[0-9a-zA-Z_-]+)/(?P<path>.+?)/?")
_MODEL: Final = re.compile(r"models:/(?P<id>m-[0-9a-f]+)/?")
_MISSING: Final = "RESOURCE_DOES_NOT_EXIST"
_EXISTS: Final = "RESOURCE_ALREADY_EXISTS"


class NoLoggedModel(ValueError):
    """A URI of a logged model that is none, or names a run or model that is not there; the message says which."""


def is_logged_model(text: str) -> bool:
    """Tell whether a text means what was logged, and not a version: `runs:/…`, or MLflow 3's `models:/m-<id>`."""
    return text.startswith(_RUNS) or _MODEL.fullmatch(text) is not None


def version_of_logged(client: Any, name: str, uri: str) -> tuple[str, bool]:
    """Return the number of the version of `name` that a logged model is, and whether it was registered only now.

    `client` is MLflow's. Raises NoLoggedModel and what MLflow raises. Safe to repeat: the same model is the same
    version.
    """
    try:
        source, run, logged = _found(client, uri)
    except Exception as error:
        if getattr(error, "error_code", "") != _MISSING:
            raise
        raise NoLoggedModel(f"The registry has no {uri}.") from None
    found = client.search_model_versions(name_filter(name))
    known = [one.version for one in found if (one.name, one.source, one.status) == (name, source, "READY")]
    if known:
        return str(max(known, key=int)), False
    ensure_registered_model(client, name)
    version = client.create_model_version(name, source, run_id=run, model_id=logged)
    return str(version.version), True


def ensure_registered_model(client: Any, name: str, description: str | None = None) -> None:
    """Create a registered model unless there is one of that name. Safe to repeat, and beside others."""
    try:
        client.create_registered_model(name, description=description)
    except Exception as error:
        if getattr(error, "error_code", "") != _EXISTS:
            raise


def models_of_run(client: Any, run: Any) -> list[Any]:
    """Return the models of a run that are not deleted, also those whose logging was not finished."""
    found = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run.info.run_id}'")
    return list(found)


def _found(client: Any, uri: str) -> tuple[str, str | None, str | None]:
    """Return a version's source, and the run and the logged model behind it, where there are any."""
    if by_id := _MODEL.fullmatch(uri):
        model = client.get_logged_model(by_id["id"])
        return f"{_LOGGED}{model.model_id}", model.source_run_id, model.model_id
    asked = _URI.fullmatch(uri)
    if asked is None:
        raise NoLoggedModel(f"Write a run's model as runs:/ID/PATH, as runs:/0a1b2c/model; not {uri!r}.")
    model = _logged_model(client, asked["run"], asked["path"])
    if model is None:
        return _artifact(client, asked["run"], asked["path"]), asked["run"], None
    return f"{_LOGGED}{model.model_id}", asked["run"], model.model_id


def name_filter(model: str) -> str | None:
    """Return MLflow's filter for a model's versions; None, which matches every model's, if the name can't be quoted."""
    quote = next((mark for mark in "'\"" if mark not in model), None)
    return quote and f"name={quote}{model}{quote}"


def _logged_model(client: Any, run: str, name: str) -> Any:
    """Return the newest model that the run logged under a name; None for a run of MLflow 2, whose models are files."""
    found = client.get_run(run)
    models = models_of_run(client, found) if getattr(found.outputs, "model_outputs", ()) else []
    named = [model for model in models if model.name == name]
    return max(named, key=lambda model: model.creation_timestamp, default=None)


def _artifact(client: Any, run: str, path: str) -> str:
    """Return where a run's artifact is that is a model; raises NoLoggedModel where it has none of that path."""
    files = [file.path for file in client.list_artifacts(run, path)]
    where = client.get_run(run).info.artifact_uri
    if f"{path}/MLmodel" not in files:
        raise NoLoggedModel(f"Run {run} has logged no model {path!r}.")
    return f"{where}/{path}"
