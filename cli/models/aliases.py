"""Say in the registry which version serves: promote one, roll back, give a challenger its share."""

from pathlib import Path

from cli.home import command_line
from cli.models.registered import Registered, refusing, registered_model
from cli.models.runs import RUNS, version_of_run
from cli.models.watching import wait_until_served
from cli.registry import connect
from cli.terminal.lines import say
from cli.terminal.refused import Refused
from shared.domain.identifiers import VersionNumber
from shared.domain.model_route import (
    CHALLENGER,
    CHALLENGER_PERCENT,
    CHAMPION,
    PREVIOUS_CHAMPION,
    SHADOW,
    SHADOW_PERCENT,
)


def promote(home: Path, name: str, number: str, *, wait: bool) -> None:
    """Make a version the champion, and wait until it serves; raises Refused where it does not load. Safe to repeat.

    `number` may be `runs:/<id>/<path>`, which is registered first where it is not.
    """
    client = connect(home)
    if number.startswith(RUNS):
        number = version_of_run(client, name, number)
    model = registered_model(client, name)
    version, before = model.ready_version(number), model.aliases.get(CHAMPION)
    if version == before:
        say(f"Version {version} of {name} is its champion already.")
    else:
        with refusing():
            if before is not None:
                # First: killed in between, `rollback` goes to the version that still serves.
                client.set_registered_model_tag(name, PREVIOUS_CHAMPION, before)
            client.set_registered_model_alias(name, CHAMPION, version)
        undo = f" Undo it: {command_line(f'models rollback {name}', home)}" if before else ""
        say(f"Promoted version {version} of {name}{f', before it was {before}' if before else ''}.{undo}")
    if wait:
        wait_until_served(home, model.name, version, alias=CHAMPION)


def rollback(home: Path, name: str, *, wait: bool) -> None:
    """Make the champion before, else the next lower ready version, the champion again; raises Refused for neither."""
    client = connect(home)
    model = registered_model(client, name)
    now = model.aliases.get(CHAMPION)
    if now is None:
        raise Refused(f"{name} has no champion. Make one: {command_line(f'models promote {name} latest', home)}")
    version, why = _version_before(model, now)
    with refusing():
        client.set_registered_model_alias(name, CHAMPION, version)
        # Rolled back again, it goes on to a lower version, and not back to the one that was left.
        client.delete_registered_model_tag(name, PREVIOUS_CHAMPION)
    undo = command_line(f"models promote {name} {now}", home)
    say(f"Rolled {name} back from version {now} to {version}, {why}. Undo it: {undo}")
    if wait:
        wait_until_served(home, model.name, version, alias=CHAMPION)


def challenger(home: Path, name: str, number: str, *, percent: int, wait: bool) -> None:
    """Give a version its share of the requests that name none; raises Refused where it does not load. Repeatable."""
    client = connect(home)
    model = registered_model(client, name)
    version = model.ready_version(number)
    if model.aliases.get(CHAMPION) is None:
        raise Refused(f"{name} has no champion to challenge: {command_line(f'models promote {name} {version}', home)}")
    with refusing():
        client.set_registered_model_tag(name, CHALLENGER_PERCENT, str(percent))
        client.set_registered_model_alias(name, CHALLENGER, version)
    say(
        f"Version {version} of {name} is the challenger and gets {percent}% of the requests that name no version. "
        f"End it: {command_line(f'models challenger {name} --off', home)}"
    )
    if wait:
        wait_until_served(home, model.name, version, alias=CHALLENGER)


def end_challenger(home: Path, name: str) -> None:
    """Give all requests to the champion again. Safe to repeat."""
    after = ": its champion gets every request that names no version"
    _end_share(home, name, CHALLENGER, CHALLENGER_PERCENT, after=after)


def shadow(home: Path, name: str, number: str, *, percent: int, wait: bool) -> None:
    """Let a version predict a share of the champion's images too; raises Refused where it does not load. Repeatable."""
    client = connect(home)
    model = registered_model(client, name)
    version = model.ready_version(number)
    champion = model.aliases.get(CHAMPION)
    if champion is None:
        raise Refused(f"{name} has no champion to compare with: {command_line(f'models promote {name} latest', home)}")
    if champion == version:
        raise Refused(f"Version {version} of {name} is its champion: a shadow is another version.")
    with refusing():
        client.set_registered_model_tag(name, SHADOW_PERCENT, str(percent))
        client.set_registered_model_alias(name, SHADOW, version)
    say(
        f"Version {version} of {name} is the shadow: it predicts {percent}% of the champion's images too, once they "
        f"are answered and nobody waits. End it: {command_line(f'models shadow {name} --off', home)}"
    )
    if wait:
        wait_until_served(home, model.name, version, alias=SHADOW)


def end_shadow(home: Path, name: str) -> None:
    """Let no version predict beside the champion any more; what was recorded stays. Safe to repeat."""
    _end_share(home, name, SHADOW, SHADOW_PERCENT, after="; what it predicted stays on record")


def _end_share(home: Path, name: str, alias: str, tag: str, *, after: str) -> None:
    """Take an alias and the tag with its share from a model, and say what is so after."""
    client = connect(home)
    if alias not in registered_model(client, name).aliases:
        say(f"{name} has no {alias}.")
        return
    with refusing():
        client.delete_registered_model_alias(name, alias)
        client.delete_registered_model_tag(name, tag)
    say(f"{name} has no {alias} any more{after}.")


def _version_before(model: Registered, now: VersionNumber) -> tuple[VersionNumber, str]:
    """Return the version to roll back to, and in words why that one."""
    previous = VersionNumber(model.tags.get(PREVIOUS_CHAMPION, ""))
    if previous != now and previous in model.ready():
        return previous, "its champion before"
    lower = [number for number in model.ready() if int(number) < int(now)]
    if not lower:
        there = ", ".join(model.ready())
        raise Refused(f"Version {now} of {model.name} has no version before it. Ready are: {there}.")
    gone = f" (its champion before, {previous}, is no longer ready)" if previous and previous != now else ""
    return lower[-1], f"the next lower ready version{gone}"
