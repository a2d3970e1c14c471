"""Say in the registry which version serves: promote one, roll back, give a challenger or a shadow its share."""

from pathlib import Path
from typing import TYPE_CHECKING

from cli.home import command_line
from cli.models.registered import ClientWrites, refusing, registered_model, telling
from cli.models.runs import RUNS, version_of_run
from cli.models.watching import wait_until_served
from cli.registry import connect
from cli.terminal.lines import say
from shared.domain import model_changes
from shared.domain.identifiers import ModelName, VersionNumber
from shared.domain.model_changes import Change

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


def promote(home: Path, name: str, number: str, *, wait: bool) -> None:
    """Make a version the champion, and wait until it serves; raises Refused where it does not load. Safe to repeat.

    `number` may be `runs:/<id>/<path>`, which is registered first where it is not.
    """
    client = connect(home)
    if number.startswith(RUNS):
        number = version_of_run(client, name, number)
    with telling(home):
        change = model_changes.promote(registered_model(client, name), number)
    carry_out(client, home, name, change, wait=wait)


def rollback(home: Path, name: str, *, wait: bool) -> None:
    """Make the champion before, else the next lower ready version, the champion again; raises Refused for neither."""
    client = connect(home)
    with telling(home):
        change = model_changes.roll_back(registered_model(client, name))
    carry_out(client, home, name, change, wait=wait)


def challenger(home: Path, name: str, number: str, *, percent: int, wait: bool) -> None:
    """Give a version its share of the requests that name none; raises Refused where it does not load. Repeatable."""
    client = connect(home)
    with telling(home):
        change = model_changes.begin_challenger(registered_model(client, name), number, percent=percent)
    carry_out(client, home, name, change, wait=wait)


def end_challenger(home: Path, name: str) -> None:
    """Give all requests to the champion again. Safe to repeat."""
    client = connect(home)
    carry_out(client, home, name, model_changes.end_challenger(registered_model(client, name)))


def shadow(home: Path, name: str, number: str, *, percent: int, wait: bool) -> None:
    """Let a version predict a share of the champion's images too; raises Refused where it does not load. Repeatable."""
    client = connect(home)
    with telling(home):
        change = model_changes.begin_shadow(registered_model(client, name), number, percent=percent)
    carry_out(client, home, name, change, wait=wait)


def end_shadow(home: Path, name: str) -> None:
    """Let no version predict beside the champion any more; what was recorded stays. Safe to repeat."""
    client = connect(home)
    carry_out(client, home, name, model_changes.end_shadow(registered_model(client, name)))


def carry_out(client: "MlflowClient", home: Path, name: str, change: Change, *, wait: bool = False) -> None:
    """Write a change to the registry, say what is so now, and how it is undone; wait until it serves where asked."""
    with refusing():
        model_changes.carry_out(ClientWrites(client), ModelName(name), change.writes)
    undo = f" {change.undo_words}: {command_line(change.undo, home)}" if change.undo else ""
    say(f"{change.said}{undo}")
    if wait and change.alias:
        wait_until_served(home, ModelName(name), VersionNumber(change.version), alias=change.alias)
