"""A champion that fails too many real images goes back: the one before it serves again, for all workers."""

import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import redis

from shared.domain.canary import CANARY_TAG, Canary, Phase
from shared.domain.identifiers import VersionKey, VersionNumber
from shared.domain.model_route import Route
from shared.domain.prediction import ErrorCode, Status
from shared.queue import keys, model_routes
from shared.queue.consumer.champion_trials import LEAST, LENGTH, ChampionTrials
from shared.queue.consumer.entries import Entry, Result
from shared.registry.registry_writer import RegistryWriter
from shared.settings import Registry
from tests.support.followers import Followers
from tests.support.registries import MODEL, MlflowStore
from worker.models.following.canary_mover import CanaryMover
from worker.models.following.champion_trial import TrialResults
from worker.models.registry.registry_in_turn import RegistryInTurn
from worker.models.registry.registry_reader import RegistryReader

if TYPE_CHECKING:
    from worker.models.following.registry_follower import RegistryFollower

ONE, TWO, THREE = (VersionNumber(number) for number in "123")
OLD, NEW = VersionKey("1-a"), VersionKey("2-b")
ERROR = "RuntimeError: shapes differ"


def trials(client: "redis.Redis", worker: str) -> ChampionTrials:
    return ChampionTrials(client, model=MODEL, worker=worker)


def succeed(champion: ChampionTrials, version: VersionKey) -> None:
    champion.judge(version, results="", error="", limit=50)


def test_results_of_all_workers_count_together(redis_client: "redis.Redis") -> None:
    one, two = trials(redis_client, "one"), trials(redis_client, "two")
    succeed(one, OLD)
    succeed(one, NEW)
    assert one.judge(NEW, results="s" * 10, error="", limit=50).reason == ""
    assert two.judge(NEW, results="f" * 9, error=ERROR, limit=50).reason == ""
    assert two.judge(NEW, results="f", error=ERROR, limit=50).reason == ""  # half of 20 is not more than half
    found = one.judge(NEW, results="f", error="", limit=50)
    assert (found.before, found.reason) == (OLD, f"11 of the last 21 images failed: {ERROR}")
    assert two.judge(NEW, results="s" * 200, error="", limit=50).reason == found.reason


def test_only_the_last_200_results_count(redis_client: "redis.Redis") -> None:
    one = trials(redis_client, "one")
    succeed(one, OLD)
    succeed(one, NEW)
    for _ in range(5):
        one.judge(NEW, results="s" * 200, error="", limit=50)
    assert one.judge(NEW, results="f" * 101, error=ERROR, limit=50).reason.startswith("101 of the last 200 images")


def test_few_results_decide_nothing(redis_client: "redis.Redis") -> None:
    one = trials(redis_client, "one")
    succeed(one, OLD)
    succeed(one, NEW)
    assert one.judge(NEW, results="f" * (LEAST - 1), error=ERROR, limit=50).reason == ""


def test_a_repeated_call_counts_once(redis_client: "redis.Redis") -> None:
    one, restarted = trials(redis_client, "one"), trials(redis_client, "one")
    succeed(one, OLD)
    succeed(one, NEW)
    half = "f" * (LEAST // 2)
    one.judge(NEW, results=half, error=ERROR, limit=50)
    # With the number that was counted, as when the answer to the first call was lost.
    assert restarted.judge(NEW, results=half, error=ERROR, limit=50).reason == ""
    assert redis_client.hget(keys.champion(MODEL), "results") == half.encode()


def test_after_ten_minutes_nothing_is_decided_any_more(redis_client: "redis.Redis") -> None:
    one = trials(redis_client, "one")
    succeed(one, OLD)
    succeed(one, NEW)
    redis_client.hincrby(keys.champion(MODEL), "since", -(LENGTH // timedelta(microseconds=1)))
    found = one.judge(NEW, results="f" * 200, error=ERROR, limit=50)
    assert (found.reason, found.left) == ("", timedelta(0))


def test_the_first_champion_has_none_to_go_back_to(redis_client: "redis.Redis") -> None:
    one = trials(redis_client, "one")
    succeed(one, NEW)
    found = one.judge(NEW, results="f" * 200, error=ERROR, limit=50)
    assert (found.before, found.reason) == (None, "")


def test_after_one_that_failed_the_next_goes_back_to_the_one_before_both(redis_client: "redis.Redis") -> None:
    one, third = trials(redis_client, "one"), VersionKey("3-c")
    succeed(one, OLD)
    succeed(one, NEW)
    assert one.judge(NEW, results="f" * 20, error=ERROR, limit=50).reason
    assert one.judge(third, results="", error="", limit=50).before == OLD
    assert one.judge(third, results="f" * 20, error=ERROR, limit=50).before == OLD


@pytest.mark.parametrize(("limit", "failed", "ends"), [(None, 20, "stays"), (0, 1, "goes back"), (100, 20, "stays")])
def test_the_limit_is_in_per_cent_or_there_is_none(
    redis_client: "redis.Redis", limit: int | None, failed: int, ends: str
) -> None:
    one = trials(redis_client, "one")
    succeed(one, OLD)
    succeed(one, NEW)
    results = "s" * (20 - failed) + "f" * failed
    reason = one.judge(NEW, results=results, error=ERROR, limit=limit).reason
    assert ("goes back" if reason else "stays") == ends


@pytest.fixture
def follow(followers: Followers) -> Callable[[str], "RegistryFollower"]:
    """Make followers that have read the registry once, as worker processes would."""

    def make(worker: str) -> "RegistryFollower":
        follower = followers.make(worker=worker)
        follower.refresh()
        return follower

    return make


def results(version: VersionKey, count: int, *, code: str = ErrorCode.MODEL_ERROR) -> list[Result]:
    entry = Entry(lane="l", id="1-1", waiting="w", cache="c", version=version, image=b"i")
    return [Result(entry, Status.FAILED, error=ERROR, code=code)] * count


def route_in(client: "redis.Redis") -> Route:
    route = model_routes.read(client, MODEL)
    assert route is not None
    return route


def test_what_the_champion_before_failed_is_no_evidence_against_the_new_one(
    mlflow_store: MlflowStore, redis_client: "redis.Redis", follow: Callable[[str], "RegistryFollower"]
) -> None:
    """The first champion has none to go back to; whoever repairs it would be sent back to it."""
    broken = mlflow_store.register("champion")
    one = follow("one")
    one.trial_results.add(results(broken, 20))  # not judged before the next one is champion
    mlflow_store.register("champion")
    one.refresh()  # the new one serves, on trial
    one.refresh()  # it is judged
    assert (route_in(redis_client).aliases["champion"], route_in(redis_client).went_back) == (TWO, {})


def test_results_that_come_while_another_version_is_put_on_trial_are_not_counted() -> None:
    trial = TrialResults(on_failure=lambda: None)
    trial.put_on_trial(OLD)

    class Meanwhile(list[Result]):
        """Results of the old version; they are looked at while the new one is put on trial."""

        def __iter__(self) -> Iterator[Result]:
            trial.put_on_trial(NEW)
            return super().__iter__()

    trial.add(Meanwhile(results(OLD, 20)))
    assert trial.take() == ("", "")


def test_a_champion_that_fails_images_goes_back_on_every_worker_and_after_a_restart(
    mlflow_store: MlflowStore,
    redis_client: "redis.Redis",
    follow: Callable[[str], "RegistryFollower"],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    mlflow_store.register("champion")
    one, two = follow("one"), follow("two")
    new = mlflow_store.register("champion")
    one.refresh()
    two.refresh()
    assert route_in(redis_client).aliases == {"champion": TWO}
    one.trial_results.add(results(new, 10))
    two.trial_results.add(results(new, 10))
    one.refresh()
    two.refresh()
    reason = f"20 of the last 20 images failed: {ERROR}"
    assert route_in(redis_client).aliases == {"champion": ONE}
    assert route_in(redis_client).went_back == {TWO: reason}
    said = [vars(record)["reason"] for record in caplog.records if record.getMessage() == "champion_went_back"]
    assert said == [reason]
    # The worker that decided is killed, or restarted: the others decide the same.
    one.refresh()
    three = follow("three")
    three.refresh()
    assert route_in(redis_client).aliases == {"champion": ONE}
    assert route_in(redis_client).went_back == {TWO: reason}
    assert str(mlflow_store.client.get_model_version_by_alias(MODEL, "champion").version) == TWO
    mlflow_store.register("champion")
    for follower in (one, two, three):
        follower.refresh()
    assert route_in(redis_client).aliases == {"champion": THREE}
    assert route_in(redis_client).went_back == {}


def test_a_canary_that_went_through_says_so_when_the_trial_takes_its_version_back(
    mlflow_store: MlflowStore, redis_client: "redis.Redis", follow: Callable[[str], "RegistryFollower"]
) -> None:
    mlflow_store.register("champion")
    one = follow("one")
    new = mlflow_store.register("champion")
    canary = Canary(
        version=TWO, champion=ONE, steps=(100,), every=1, max_errors=0.01, max_p99=1.5, began=0, since=0,
        phase=Phase.PROMOTED, moving=False, reason="every step held",
    )  # fmt: skip
    mlflow_store.client.set_registered_model_tag(MODEL, CANARY_TAG, canary.to_text())
    one.refresh()
    assert route_in(redis_client).canary == canary.words()
    mlflow_store.client.set_registered_model_alias(MODEL, "champion", ONE)
    one.refresh()
    assert route_in(redis_client).canary == f"{canary.words()}; now version {ONE} is champion"
    mlflow_store.client.set_registered_model_alias(MODEL, "champion", TWO)
    one.refresh()
    one.trial_results.add(results(new, 20))
    one.refresh()
    reason = f"20 of the last 20 images failed: {ERROR}"
    assert route_in(redis_client).aliases == {"champion": ONE}
    assert route_in(redis_client).canary == f"{canary.words()}; the version before serves again, since {reason}"
    # The canary has ended: it does not move the alias that the trial leaves as it is.
    settings = Registry(url=mlflow_store.url)
    reader = RegistryReader(settings)
    registry = RegistryInTurn(reader, RegistryWriter(lambda: mlflow_store.client), client=redis_client, worker="one")
    CanaryMover(registry, client=redis_client).move(MODEL)
    found = reader.read(MODEL)
    assert (found.aliases, found.tags[CANARY_TAG]) == ({"champion": TWO}, canary.to_text())


def test_promoting_the_failed_version_after_another_tries_it_again(
    mlflow_store: MlflowStore, redis_client: "redis.Redis", follow: Callable[[str], "RegistryFollower"]
) -> None:
    mlflow_store.register("champion")
    one = follow("one")
    new = mlflow_store.register("champion")
    one.refresh()
    one.trial_results.add(results(new, 20))
    one.refresh()
    assert route_in(redis_client).aliases == {"champion": ONE}
    for number in (ONE, TWO):
        mlflow_store.promote("champion", number)
        one.refresh()
    assert route_in(redis_client).aliases == {"champion": TWO}
    assert route_in(redis_client).went_back == {}


def test_images_that_nobody_could_decode_do_not_count(
    mlflow_store: MlflowStore, redis_client: "redis.Redis", follow: Callable[[str], "RegistryFollower"]
) -> None:
    mlflow_store.register("champion")
    one = follow("one")
    new = mlflow_store.register("champion")
    one.refresh()
    one.trial_results.add(results(new, 100, code=ErrorCode.UNDECODABLE_IMAGE))
    one.trial_results.add(results(VersionKey("1-another"), 100))
    one.refresh()
    assert route_in(redis_client).aliases == {"champion": TWO}


def test_a_tag_switches_it_off_and_a_wrong_one_is_logged_once(
    mlflow_store: MlflowStore,
    redis_client: "redis.Redis",
    follow: Callable[[str], "RegistryFollower"],
    caplog: pytest.LogCaptureFixture,
) -> None:
    mlflow_store.register("champion")
    one = follow("one")
    new = mlflow_store.register("champion")
    mlflow_store.client.set_registered_model_tag(MODEL, "darkroom.max_error_percent", "half")
    mlflow_store.client.set_model_version_tag(MODEL, TWO, "darkroom.max_error_percent", "off")
    one.refresh()
    one.trial_results.add(results(new, 100))
    one.refresh()
    assert route_in(redis_client).aliases == {"champion": TWO}
    mlflow_store.client.delete_model_version_tag(MODEL, TWO, "darkroom.max_error_percent")
    one.trial_results.add(results(new, 100))
    one.refresh()
    assert route_in(redis_client).aliases == {"champion": ONE}
    one.refresh()
    assert [record.getMessage() for record in caplog.records].count("max_error_percent_ignored") == 1
