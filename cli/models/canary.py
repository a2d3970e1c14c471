"""`models canary`: start a canary, show it, stop it. Workers move it by the state in the registry's tag."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cli.home import command_line
from cli.models.registered import Registered, refusing, registered_model
from cli.registry import connect
from cli.terminal.lines import say
from cli.terminal.refused import Refused
from shared.domain.canary import CANARY_TAG, Canary, Phase
from shared.domain.model_route import CHALLENGER, CHAMPION

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

STOP_PATIENCE: Final = timedelta(seconds=60)
_PAUSE: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Steps and limits of a canary, as `Canary` has them."""

    steps: tuple[int, ...]
    every: timedelta
    max_errors: float
    max_p99: float
    min_agreement: float | None
    min_images: int
    patience: timedelta


def start(home: Path, name: str, number: str, terms: Terms, *, now: Callable[[], float] = time.time) -> None:
    """Begin a canary; raises Refused where one runs, or the version can't be one. Safe to repeat."""
    client = connect(home)
    model = registered_model(client, name)
    version, champion = model.ready_version(number), model.aliases.get(CHAMPION)
    if champion is None:
        raise Refused(f"{name} has no champion: {command_line(f'models promote {name} {version}', home)}")
    if champion == version:
        raise Refused(f"Version {version} of {name} is its champion already.")
    running = _canary(model)
    if running is not None and (running.is_running or running.moving):
        raise Refused(f"A canary of {name} runs: {running.words()}. Stop it: {_stop(name, home)}")
    challenger = model.aliases.get(CHALLENGER)
    if challenger is not None:
        off = command_line(f"models challenger {name} --off", home)
        raise Refused(f"Version {challenger} of {name} is the challenger. End that first: {off}")
    at = now()
    canary = Canary(
        version=version,
        champion=champion,
        steps=terms.steps,
        every=terms.every.total_seconds(),
        max_errors=terms.max_errors,
        max_p99=terms.max_p99,
        min_agreement=terms.min_agreement,
        min_images=terms.min_images,
        patience=terms.patience.total_seconds(),
        began=at,
        since=at,
    )
    _write(client, name, canary)
    say(f"Began: version {version} of {name} gets {canary.percent}% of the requests that name no version.")
    say(f"See it: {command_line(f'models canary {name} --status', home)}; stop it: {_stop(name, home)}")


def show(home: Path, name: str) -> None:
    """Print where a model's canary is."""
    canary = _canary(registered_model(connect(home), name))
    if canary is None:
        say(f"{name} has had no canary.")
        return
    say(f"{canary.phase}: {canary.words()}")
    if canary.is_running:
        agreement = "" if canary.min_agreement is None else f", agreement at least {canary.min_agreement:.2%}"
        say(
            f"steps {', '.join(map(str, canary.steps))}% every {canary.every:g} s; errors at most "
            f"{canary.max_errors:.2%}, p99 at most {canary.max_p99:g}x{agreement}, {canary.min_images:,} images a "
            f"step, waited for at most {canary.patience:g} s"
        )


def stop(home: Path, name: str, *, patience: timedelta = STOP_PATIENCE) -> None:
    """End a running canary: the champion gets every request again. Return once a worker has done so. Safe to repeat."""
    client = connect(home)
    end = time.monotonic() + patience.total_seconds()
    while True:
        canary = _canary(registered_model(client, name))
        if canary is None or (not canary.is_running and not canary.moving):
            say(f"No canary of {name} runs." if canary is None else f"{canary.phase}: {canary.words()}")
            return
        if canary.is_running:
            # A worker may write over it at the same moment: it is read again until it holds.
            _write(client, name, replace(canary, phase=Phase.STOPPED, moving=True, reason="an operator stopped it"))
        if time.monotonic() > end:
            raise Refused("It is marked as stopped, and no worker has moved the traffic back yet: is one running?")
        time.sleep(_PAUSE)


def _canary(model: Registered) -> Canary | None:
    text = model.tags.get(CANARY_TAG)
    try:
        return None if text is None else Canary.from_text(text)
    except ValueError as error:
        raise Refused(f"{error}. Delete the tag to begin anew.") from None


def _write(client: "MlflowClient", name: str, canary: Canary) -> None:
    with refusing():
        client.set_registered_model_tag(name, CANARY_TAG, canary.to_text())


def _stop(name: str, home: Path) -> str:
    return command_line(f"models canary {name} --off", home)
