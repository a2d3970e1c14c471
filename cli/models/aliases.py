"""Say in the registry which version serves: promote one, roll back, give a challenger or a shadow its share."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cli.home import command_line
from cli.models.logged_models import as_version
from cli.models.registered import refusing, registered_model, telling
from cli.models.turns import in_turn
from cli.models.watching import wait_until_true
from cli.registry import connect
from cli.terminal.lines import say
from shared.domain import model_changes, registry_change
from shared.domain.identifiers import ModelName
from shared.domain.registered_model import RegisteredModel
from shared.domain.registry_change import Change
from shared.registry.registry_writer import RegistryWriter

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

Plan = Callable[[RegisteredModel], Change]
"""Says what is to be written, by what the registry has of the model; raises ChangeRefused."""


def promote(home: Path, name: str, number: str, *, wait: bool) -> None:
    """Make a version the champion, and wait until it serves; raises Refused where it does not load. Safe to repeat."""
    client = connect(home)
    plan = partial(model_changes.promote, number=as_version(client, name, number))
    _announce(home, name, change(client, home, name, plan), wait=wait)


def rollback(home: Path, name: str, *, wait: bool) -> None:
    """Make the champion before, else the next lower ready version, the champion again; raises Refused for neither.

    Repeated after a kill, it goes to the same version; repeated after it was done, one version further.
    """
    _announce(home, name, change(connect(home), home, name, model_changes.roll_back), wait=wait)


def challenger(home: Path, name: str, number: str, *, percent: int, wait: bool) -> None:
    """Give a version its share of the requests that name none; raises Refused where it does not load. Repeatable."""
    client = connect(home)
    plan = partial(model_changes.begin_challenger, number=as_version(client, name, number), percent=percent)
    _announce(home, name, change(client, home, name, plan), wait=wait)


def end_challenger(home: Path, name: str) -> None:
    """Give all requests to the champion again. Safe to repeat."""
    _announce(home, name, change(connect(home), home, name, model_changes.end_challenger))


def shadow(home: Path, name: str, number: str, *, percent: int, wait: bool) -> None:
    """Let a version predict a share of the champion's images too; raises Refused where it does not load. Repeatable."""
    client = connect(home)
    plan = partial(model_changes.begin_shadow, number=as_version(client, name, number), percent=percent)
    _announce(home, name, change(client, home, name, plan), wait=wait)


def end_shadow(home: Path, name: str) -> None:
    """Let no version predict beside the champion any more; what was recorded stays. Safe to repeat."""
    _announce(home, name, change(connect(home), home, name, model_changes.end_shadow))


def change(client: "MlflowClient", home: Path, name: str, plan: Plan) -> Change:
    """Read the model, plan and write, all in the model's turn; return what was planned. Raises Refused."""
    model = ModelName(name)
    with in_turn(home, model, RegistryWriter(lambda: client)) as writer:
        with telling(home):
            planned = plan(registered_model(client, name))
        with refusing():
            registry_change.carry_out(writer, model, planned.writes)
    return planned


def _announce(home: Path, name: str, made: Change, *, wait: bool = True) -> None:
    """Say what is so now, and how it is undone; wait until every request is answered by it where asked."""
    undo = f" {made.undo_words}: {command_line(made.undo, home)}" if made.undo else ""
    say(f"{made.said}{undo}")
    if wait and (made.alias or made.writes):
        wait_until_true(home, ModelName(name), made)
