"""Options that several commands take, as the command line gives them."""

import contextlib
from typing import Any

import pytest

from cli.commands import commands


@pytest.mark.parametrize("command", ["submit", "bulk"])
@pytest.mark.parametrize(
    ("given", "models", "weights"),
    [
        ([], None, None),
        (["--models", "a,b", "--weights", "2,1"], "a,b", "2,1"),
        (["--models", "a", "--models", "b", "--weights", "2", "--weights", "1"], "a,b", "2,1"),
        (["--models", "a,b", "--models", "c"], "a,b,c", None),
    ],
)
def test_an_ensemble_s_models_are_all_taken_at_once_or_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch, command: str, given: list[str], models: str | None, weights: str | None
) -> None:
    taken: dict[str, Any] = {}
    monkeypatch.setattr(f"cli.{command}.run.{command}", lambda *_, **options: taken.update(options))
    with contextlib.suppress(SystemExit):  # as bulk ends
        commands([command, "cat.jpg", *given], standalone_mode=False)
    pipeline = taken["pipeline"]
    assert (pipeline["models"], pipeline["weights"]) == (models, weights)
