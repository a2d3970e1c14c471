"""Models that a training run logged and nobody registered: `runs:/<id>/<path>` becomes a version, once."""

import re
from typing import TYPE_CHECKING, Any, Final

from cli.models.registered import refusing, registered_model
from cli.terminal.lines import say
from cli.terminal.refused import Refused

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

RUNS: Final = "runs:/"
_URI: Final = re.compile(r"runs:/(?P<run>[0-9a-zA-Z_-]+)/(?P<path>.+?)/?")


def version_of_run(client: "MlflowClient", name: str, uri: str) -> str:
    """Return the number of the version of `name` that a run's model is, registered now where it is not yet.

    Raises Refused for a run that is not there, or has no such model. Safe to repeat: the same run is the same version.
    """
    asked = _URI.fullmatch(uri)
    if asked is None:
        raise Refused(f"Write a run's model as runs:/ID/PATH, as runs:/0a1b2c/model; not {uri!r}.")
    with refusing():
        model = _logged_model(client, asked["run"], asked["path"])
        names = [one.name for one in client.search_registered_models()]
    source, logged = (f"models:/{model.model_id}", model.model_id) if model is not None else (None, None)
    if source is None:
        source = _artifact(client, asked["run"], asked["path"])
    if name in names:
        known = registered_model(client, name)
        with refusing():
            for number in reversed(known.ready()):
                if client.get_model_version(name, number).source == source:
                    say(f"{uri} is version {number} of {name}.")
                    return str(number)
    with refusing():
        if name not in names:
            client.create_registered_model(name)
        version = client.create_model_version(name, source, run_id=asked["run"], model_id=logged)
    say(f"Registered {uri} as version {version.version} of {name}.")
    return str(version.version)


def _logged_model(client: "MlflowClient", run: str, name: str) -> Any:
    """Return the newest model that the run logged under a name; None for a run of MLflow 2, whose models are files."""
    outputs = getattr(client.get_run(run).outputs, "model_outputs", ())
    found = [client.get_logged_model(one.model_id) for one in outputs]
    named = [model for model in found if model.name == name]
    return max(named, key=lambda model: model.creation_timestamp, default=None)


def _artifact(client: "MlflowClient", run: str, path: str) -> str:
    """Return where a run's artifact is that is a model; raises Refused where it has none of that path."""
    with refusing():
        files = [file.path for file in client.list_artifacts(run, path)]
        where = client.get_run(run).info.artifact_uri
    if f"{path}/MLmodel" not in files:
        raise Refused(f"Run {run} has logged no model {path!r}.")
    return f"{where}/{path}"
