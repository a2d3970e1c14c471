"""What the registry has of one model, as the commands read it: versions by number, aliases, tags."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cli.home import command_line
from cli.terminal.lines import first_line
from cli.terminal.refused import Refused
from shared.domain.errors import ChangeRefused
from shared.domain.identifiers import ModelName, VersionNumber
from shared.domain.registered_model import RegisteredModel
from shared.queue.model_turns import TurnLost

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_MISSING: Final = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


@contextmanager
def telling(home: Path) -> Iterator[None]:
    """Turn a change that is refused in the block into Refused, with the command for this home that would help."""
    try:
        yield
    except ChangeRefused as error:
        if not error.command:
            raise Refused(f"{error.reason}.") from None
        advice = f". {error.advice}" if error.advice else ""
        raise Refused(f"{error.reason}{advice}: {command_line(error.command, home)}") from None


def registered_model(client: "MlflowClient", name: str) -> RegisteredModel:
    """Return what is registered under a name; raises Refused where nothing is, naming what there is."""
    with refusing():
        try:
            model = client.get_registered_model(name)
        except Exception as error:
            if getattr(error, "error_code", "") not in _MISSING:
                raise
            names = ", ".join(sorted(one.name for one in client.search_registered_models())) or "nothing"
            raise Refused(f"No model {name!r} is registered. There is: {names}.") from None
        versions = [one for one in _versions(client, name) if one.name == name]
    return RegisteredModel(
        name=ModelName(name),
        aliases={alias: VersionNumber(str(number)) for alias, number in model.aliases.items()},
        tags=dict(model.tags),
        versions={VersionNumber(str(one.version)): str(one.status) for one in versions},
    )


def _versions(client: "MlflowClient", name: str) -> list[Any]:
    """Return MLflow's versions of a model; also of others, where the name has both kinds of quotes."""
    quote = next((mark for mark in "'\"" if mark not in name), None)
    found: list[Any] = []
    token: str | None = None
    while True:
        page = client.search_model_versions(quote and f"name={quote}{name}{quote}", page_token=token)
        found += page
        token = page.token
        if not token:
            return found


@contextmanager
def refusing() -> Iterator[None]:
    """Turn what MLflow's stores raise in the block into Refused: a registry that is down, or refuses the login."""
    try:
        yield
    except TurnLost:
        raise
    except Exception as error:  # noqa: BLE001  whatever MLflow's many stores raise
        raise Refused(f"The registry can't be asked: {first_line(error)}") from None
