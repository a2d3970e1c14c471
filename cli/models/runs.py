"""`runs:/<id>/<path>` as people name a version: what a training run logged becomes a version, once."""

from typing import TYPE_CHECKING

from cli.models.registered import refusing
from cli.terminal.lines import say
from cli.terminal.refused import Refused
from shared.registry import run_versions
from shared.registry.run_versions import RUNS, NoRunModel

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

__all__ = ["RUNS", "version_of_run"]


def version_of_run(client: "MlflowClient", name: str, uri: str) -> str:
    """Return the number of the version of `name` that a run's model is, registered now where it is not yet.

    Raises Refused for a run that is not there, or has no such model.
    """
    wrong = ""
    with refusing():
        try:
            number, is_new = run_versions.version_of_run(client, name, uri)
        except NoRunModel as error:
            wrong = str(error)
    if wrong:
        raise Refused(wrong)
    say(f"Registered {uri} as version {number} of {name}." if is_new else f"{uri} is version {number} of {name}.")
    return number
