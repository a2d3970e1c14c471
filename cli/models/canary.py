"""`models canary`: start a canary, show it, stop it. Workers move it by the state in the registry's tag."""

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Final

from cli.home import command_line
from cli.models.aliases import change
from cli.models.logged_models import as_version
from cli.models.registered import registered_model, telling
from cli.models.watching import wait_until_true
from cli.registry import connect
from cli.terminal.lines import say
from cli.terminal.refused import Refused
from shared.domain.ages import written_age
from shared.domain.canary_changes import CanaryTerms, begin_canary, read_canary, stop_canary
from shared.domain.identifiers import ModelName
from shared.domain.model_route import CHALLENGER, CHAMPION
from shared.domain.registry_change import Change, Write
from shared.domain.written_numbers import written

STOP_PATIENCE: Final = timedelta(seconds=60)
_PAUSE: Final = 0.5


def start(home: Path, name: str, number: str, terms: CanaryTerms, *, now: Callable[[], float] = time.time) -> None:
    """Begin a canary; raises Refused where one runs, or the version can't be one. Safe to repeat."""
    client = connect(home)
    version = as_version(client, name, number)
    made = change(client, home, name, lambda model: begin_canary(model, version, terms, now=now()))
    say(made.said)
    say(f"See it: {command_line(f'models canary {name} --status', home)}; stop it: {command_line(made.undo, home)}")


def show(home: Path, name: str) -> None:
    """Print where a model's canary is."""
    with telling(home):
        model = registered_model(connect(home), name)
        canary = read_canary(model)
    if canary is None:
        say(f"{name} has had no canary.")
        return
    say(f"{canary.phase}: {canary.words_beside(model.aliases.get(CHAMPION))}")
    if canary.is_running:
        agreement = "" if canary.min_agreement is None else f", agreement at least {canary.min_agreement:.2%}"
        say(
            f"steps {', '.join(map(str, canary.steps))}% every {_age(canary.every)}; errors at most "
            f"{canary.max_errors:.2%}, p99 at most {written(canary.max_p99)}x{agreement}, {canary.min_images:,} images "
            f"a step, waited for at most {_age(canary.patience)}"
        )


def _age(seconds: float) -> str:
    return written_age(timedelta(seconds=seconds))


def stop(home: Path, name: str, *, patience: timedelta = STOP_PATIENCE) -> None:
    """End a running canary: the champion gets every request again. Return once that is so. Safe to repeat."""
    client = connect(home)
    end, was_running = time.monotonic() + patience.total_seconds(), False
    while True:
        with telling(home):
            model = registered_model(client, name)
            canary = read_canary(model)
        if canary is None or (not canary.is_running and not canary.moving):
            # Without anything to write, that says where it is.
            say(stop_canary(model).said)
            if was_running:
                wait_until_true(home, ModelName(name), Change(said="", writes=(Write(kind="alias", name=CHALLENGER),)))
            return
        was_running = True
        if canary.is_running:
            change(client, home, name, stop_canary)
        if time.monotonic() > end:
            raise Refused("It is marked as stopped, and no worker has moved the traffic back yet: is one running?")
        time.sleep(_PAUSE)
