"""`runs:/<id>/<path>` and `models:/m-<id>` as people name a version: what was logged becomes a version, once."""

from typing import TYPE_CHECKING

from cli.models.registered import refusing
from cli.terminal.lines import say
from cli.terminal.refused import Refused
from shared.registry import logged_models
from shared.registry.logged_models import NoLoggedModel

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


def as_version(client: "MlflowClient", name: str, text: str) -> str:
    """Return a version as it is written; of a logged model the number of its version, registered now where it is none.

    Raises Refused for a run or a logged model that is not there.
    """
    if not logged_models.is_logged_model(text):
        return text
    wrong = ""
    with refusing():
        try:
            number, is_new = logged_models.version_of_logged(client, name, text)
        except NoLoggedModel as error:
            wrong = str(error)
    if wrong:
        raise Refused(wrong)
    say(f"Registered {text} as version {number} of {name}." if is_new else f"{text} is version {number} of {name}.")
    return number
