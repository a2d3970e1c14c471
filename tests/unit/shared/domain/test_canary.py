"""A canary's decision: what holds steps up, what breaks a limit goes back, what is missing is waited for."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.canary import LOAD_PATIENCE, PATIENCE, Canary, Figures, Phase, decide, decide_unloadable
from shared.domain.canary_traffic import Traffic, changed_by_others, left_share, wanted_traffic
from shared.domain.identifiers import VersionNumber

ONE, TWO, OTHER = VersionNumber("1"), VersionNumber("2"), VersionNumber("9")
CANARY = Canary(
    version=TWO,
    champion=ONE,
    steps=(5, 50, 100),
    every=600,
    max_errors=0.01,
    max_p99=1.5,
    began=0,
    since=0,
    moving=False,
)
GOOD = Figures(ended=1000, errors=0, p99_ms=10, champion_p99_ms=10, agreed=990, compared=1000)
COUNTS = st.integers(0, 5000)
FIGURES = st.builds(
    lambda ended, errors, p99_ms, champion_p99_ms, agreed, compared: Figures(
        ended=max(ended, errors),
        errors=errors,
        p99_ms=p99_ms,
        champion_p99_ms=champion_p99_ms,
        agreed=min(agreed, compared),
        compared=compared,
    ),
    *(COUNTS, st.integers(0, 50), st.none() | st.floats(1, 100), st.none() | st.floats(1, 100), COUNTS, COUNTS),
)


def test_it_steps_up_while_the_figures_hold_and_then_is_champion() -> None:
    canary, shares = CANARY, []
    for at in (600, 1200, 1800):
        shares.append(canary.percent)
        assert decide(canary, GOOD, now=canary.since + 599) == canary
        canary = replace(decide(canary, GOOD, now=at), moving=False)
    assert shares == [5, 50, 100]
    assert canary.phase is Phase.PROMOTED
    assert decide(canary, replace(GOOD, errors=1000), now=9999) == canary


@pytest.mark.parametrize(
    ("figures", "why"),
    [
        (replace(GOOD, errors=11), "failed 11 of 1,000 images, over 1.00%"),
        (replace(GOOD, ended=2, errors=2), "failed 2 of 2 images"),  # more than a hundred images may have
        (replace(GOOD, p99_ms=15.1), "1.51 times the champion's 10.0 ms, over 1.5"),
        (replace(GOOD, agreed=960), "agrees with the champion on 96.00% of 1,000 images, under 97.00%"),
    ],
)
def test_it_goes_back_at_once_and_says_why(figures: Figures, why: str) -> None:
    after = decide(replace(CANARY, min_agreement=0.97), figures, now=1)
    assert (after.phase, after.moving) == (Phase.WENT_BACK, True)
    assert why in after.reason
    assert wanted_traffic(after) == Traffic(champion=ONE, challenger=None, percent=None)


@pytest.mark.parametrize(
    ("figures", "why"),
    [
        (replace(GOOD, ended=99), "answered 100 images"),
        (replace(GOOD, ended=0, p99_ms=None), "answered 100 images"),
        (replace(GOOD, errors=1, ended=1), "answered 100 images"),
        (replace(GOOD, champion_p99_ms=None), "the champion computes"),
        (replace(GOOD, compared=0, agreed=0), "compared with it as shadow"),
    ],
)
def test_it_waits_for_what_is_missing_and_says_for_what(figures: Figures, why: str) -> None:
    after = decide(replace(CANARY, min_agreement=0.97), figures, now=PATIENCE - 1)
    assert (after.phase, after.step, after.moving) == (Phase.RUNNING, 0, False)
    assert why in after.reason
    assert "at most until 1970-01-02 00:00 UTC" in after.words()
    assert decide(after, figures, now=PATIENCE - 0.1) == after


@pytest.mark.parametrize(
    ("figures", "why"),
    [
        (replace(GOOD, ended=99), "at 5% it answered 99 of 100 images within 1h"),
        (replace(GOOD, champion_p99_ms=None), "the champion computed no image within 1h"),
        (replace(GOOD, compared=7, agreed=7), "7 of 100 images were compared with it as shadow within 1h"),
    ],
)
def test_it_goes_back_when_what_is_missing_has_not_come_in_time(figures: Figures, why: str) -> None:
    canary = replace(CANARY, min_agreement=0.97, patience=3600.0)
    waiting = decide(canary, figures, now=3599)
    assert waiting.is_running
    after = decide(waiting, figures, now=3600)
    assert (after.phase, after.moving, after.since) == (Phase.WENT_BACK, True, 3600)
    assert why in after.words()
    assert decide(waiting, GOOD, now=10**6).step == 1  # enough came meanwhile
    assert decide(replace(canary, every=7200.0), figures, now=3600).is_running  # a step lasts `every` at least
    # A tag written before there was a bound has the default.
    old = json.dumps({name: value for name, value in json.loads(canary.to_text()).items() if name != "patience"})
    assert Canary.from_text(old).patience == PATIENCE


@pytest.mark.parametrize(("every", "patience"), [(2.0, 2.0), (600.0, LOAD_PATIENCE)])
def test_a_version_that_cannot_be_loaded_is_waited_for_and_then_goes_back(every: float, patience: float) -> None:
    canary, failure = replace(CANARY, every=every), "no file model.pt " * 100
    assert decide_unloadable(canary, "", now=10**6) == canary
    waits = decide_unloadable(canary, failure, now=patience - 0.1)
    assert (waits.phase, waits.step, waits.moving) == (Phase.RUNNING, 0, False)
    assert "can't load it: no file model.pt" in waits.words()
    assert decide_unloadable(waits, failure, now=patience - 0.1) == waits
    assert decide(waits, replace(GOOD, ended=0), now=1).reason.startswith("waits until it has answered")
    after = decide_unloadable(waits, failure, now=patience)
    assert (after.phase, after.moving) == (Phase.WENT_BACK, True)
    assert "can't load it: no file model.pt" in after.words()
    assert len(after.reason) < 400
    assert decide_unloadable(after, failure, now=10**6) == after


@given(st.lists(st.tuples(FIGURES, st.floats(0, 100_000)), max_size=30), st.none() | st.floats(0, 1))
def test_a_canary_only_rises_ends_once_and_is_safe_to_ask_again(
    told: list[tuple[Figures, float]], agreement: float | None
) -> None:
    canary, now = replace(CANARY, min_agreement=agreement), 0.0
    for figures, passed in told:
        now += passed
        after = decide(canary, figures, now=now)
        assert after.step - canary.step in (0, 1)
        assert Canary.from_text(after.to_text()) == after
        assert after.words()
        if not canary.is_running:
            assert after == canary
        elif after.step > canary.step or after.phase is Phase.PROMOTED:
            assert now - canary.since >= canary.every
            assert figures.ended >= canary.min_images
            assert figures.errors <= canary.max_errors * figures.ended
        assert decide(after, figures, now=now) == after
        canary = replace(after, moving=False)


@pytest.mark.parametrize(
    ("challenger", "percent", "words"),
    [
        (TWO, 5, "; version 2 stays the challenger with 5%"),
        (TWO, None, "; version 2 stays the challenger"),
        (TWO, -1, "; version 2 stays the challenger"),
        (OTHER, 5, ""),
        (None, None, ""),
    ],
)
def test_one_that_ended_says_which_share_it_leaves(
    challenger: VersionNumber | None, percent: int | None, words: str
) -> None:
    assert left_share(CANARY, Traffic(champion=OTHER, challenger=challenger, percent=percent)) == words


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("champion", ["1", "2", "3", None])
def test_only_one_that_was_promoted_says_that_another_version_is_champion_now(
    phase: Phase, champion: VersionNumber | None
) -> None:
    ended = replace(CANARY, phase=phase, moving=False)
    after = ended.words_beside(champion).removeprefix(ended.words())
    is_left = phase is Phase.PROMOTED and champion != CANARY.version
    assert after == (f"; now {f'version {champion}' if champion else 'none'} is champion" if is_left else "")


def test_what_others_change_is_seen_and_what_a_kill_left_is_not() -> None:
    moved = Traffic(champion=ONE, challenger=TWO, percent=5)
    assert changed_by_others(CANARY, moved) == ""
    for found, why in (
        (replace(moved, champion=OTHER), "made version 9 the champion"),
        (replace(moved, champion=TWO), "made version 2 the champion"),
        (replace(moved, challenger=None), "made version none the challenger"),
        (replace(moved, challenger=OTHER), "made version 9 the challenger"),
        (replace(moved, percent=None), "share to none"),
        (replace(moved, percent=6), "share to 6"),
    ):
        assert why in changed_by_others(CANARY, found)
    promoting = replace(CANARY, phase=Phase.PROMOTED, step=2, moving=True)
    for found in (
        Traffic(champion=ONE, challenger=TWO, percent=100),
        Traffic(champion=TWO, challenger=TWO, percent=100),
        Traffic(champion=TWO, challenger=None, percent=100),
        Traffic(champion=TWO, challenger=None, percent=None),
    ):
        assert changed_by_others(promoting, found) == ""
    assert changed_by_others(replace(promoting, moving=False), replace(moved, champion=OTHER)) == ""


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "[]", "nonsense", '{"phase": "running"}'),
        CANARY.to_text().replace("100", "90"),
        CANARY.to_text().replace("86400.0", "1e300"),
        CANARY.to_text().replace("86400.0", '"1d"'),
    ],
)
def test_a_tag_that_holds_no_canary_says_so(text: str) -> None:
    with pytest.raises(ValueError, match="holds no canary"):
        Canary.from_text(text)
