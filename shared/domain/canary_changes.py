"""Plans what is written to the registry so that a canary begins or stops."""

from dataclasses import asdict, dataclass, replace

from shared.domain.canary import CANARY_TAG, LEAST_IMAGES, PATIENCE, Canary, Phase
from shared.domain.errors import ChangeRefused
from shared.domain.model_route import CHALLENGER, CHAMPION
from shared.domain.registered_model import RegisteredModel
from shared.domain.registry_change import Change, Write


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryTerms:
    """Steps and limits of a canary, as `Canary` has them."""

    steps: tuple[int, ...] = (5, 25, 50, 100)
    every: float = 600.0
    max_errors: float = 0.01
    max_p99: float = 1.5
    min_agreement: float | None = None
    min_images: int = LEAST_IMAGES
    patience: float = PATIENCE


def begin_canary(model: RegisteredModel, number: str, terms: CanaryTerms, *, now: float) -> Change:
    """Begin a canary at `now`, seconds since 1970; raises ChangeRefused where one runs, or the version can't be one."""
    name, version, champion = model.name, model.ready_version(number), model.aliases.get(CHAMPION)
    if champion is None:
        raise ChangeRefused(reason=f"{name} has no champion", command=f"models promote {name} {version}")
    if champion == version:
        raise ChangeRefused(reason=f"Version {version} of {name} is its champion already")
    running = read_canary(model)
    if running is not None and (running.is_running or running.moving):
        stop = f"models canary {name} --off"
        raise ChangeRefused(reason=f"A canary of {name} runs: {running.words()}", advice="Stop it", command=stop)
    challenger = model.aliases.get(CHALLENGER)
    if challenger is not None:
        off = f"models challenger {name} --off"
        raise ChangeRefused(
            reason=f"Version {challenger} of {name} is the challenger", advice="End that first", command=off
        )
    canary = Canary(version=version, champion=champion, began=now, since=now, **asdict(terms))
    return Change(
        said=f"Began: version {version} of {name} gets {canary.percent}% of the requests that name no version.",
        writes=(Write(kind="tag", name=CANARY_TAG, value=canary.to_text()),),
        undo_words="Stop it",
        undo=f"models canary {name} --off",
    )


def stop_canary(model: RegisteredModel) -> Change:
    """Mark a running canary as stopped: workers then give the champion every request again. Safe to repeat."""
    canary = read_canary(model)
    if canary is None or not canary.is_running:
        return Change(
            said=f"No canary of {model.name} runs."
            if canary is None
            else f"{canary.phase}: {canary.words_beside(model.aliases.get(CHAMPION))}"
        )
    stopped = replace(canary, phase=Phase.STOPPED, moving=True, reason="an operator stopped it")
    return Change(
        said=f"The canary of {model.name} is stopped: its champion gets every request again.",
        writes=(Write(kind="tag", name=CANARY_TAG, value=stopped.to_text()),),
    )


def read_canary(model: RegisteredModel) -> Canary | None:
    """Return a model's canary, None where it never had one; raises ChangeRefused for a tag that holds none."""
    text = model.tags.get(CANARY_TAG)
    try:
        return None if text is None else Canary.from_text(text)
    except ValueError as error:
        raise ChangeRefused(reason=f"{error}. Delete the tag to start over") from None
