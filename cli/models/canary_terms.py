"""Reads the steps and limits of a canary as they are written on the command line."""

from datetime import timedelta

import typer

from shared.domain.ages import parse_age
from shared.domain.canary import is_steps
from shared.domain.canary_changes import CanaryTerms


def read_terms(
    steps: str,
    every: str,
    max_errors: str,
    max_p99: str,
    *,
    min_agreement: str | None,
    min_images: int,
    patience: str,
) -> CanaryTerms:
    """Return the terms; raises typer.BadParameter that says what is wrong."""
    try:
        shares = tuple(int(one) for one in steps.split(","))
    except ValueError:
        shares = ()
    if not is_steps(shares):
        raise typer.BadParameter(f"--steps must be rising percentages that end with 100: 5,25,50,100, not {steps}")
    times = _number(max_p99.removesuffix("x"))
    if not times > 0:
        raise typer.BadParameter(f"--max-p99 must be a multiple such as 1.5x, not {max_p99}")
    return CanaryTerms(
        steps=shares,
        every=_age("--every", every).total_seconds(),
        max_errors=_share("--max-errors", max_errors),
        max_p99=times,
        min_agreement=None if min_agreement is None else _share("--min-agreement", min_agreement),
        min_images=min_images,
        patience=_age("--patience", patience).total_seconds(),
    )


def _age(option: str, text: str) -> timedelta:
    try:
        return parse_age(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option} {error}") from None


def _share(option: str, text: str) -> float:
    """Return a share written as 1% or 0.01; raises typer.BadParameter that names the option."""
    number = _number(text.removesuffix("%"))
    share = number / 100 if text.endswith("%") else number
    if not 0 <= share <= 1:
        raise typer.BadParameter(f"{option} must be a share such as 1% or 0.01, not {text}")
    return share


def _number(text: str) -> float:
    """Return the number that a text is, or -1."""
    try:
        number = float(text)
    except ValueError:
        return -1.0
    return number if 0 <= number < float("inf") else -1.0
