"""A canary on a real MLflow registry, Redis and Postgres: through, back, killed between writes, interfered with."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import redis

from shared.domain.canary import CANARY_TAG, Canary, Figures, Phase
from shared.domain.canary_traffic import Traffic
from shared.domain.identifiers import VersionNumber
from shared.domain.model_route import Route
from shared.queue import canary_figures, model_routes
from shared.queue.model_turns import ModelTurns
from shared.settings import Registry
from tests.support.dying_writer import DyingWriter
from tests.support.registries import MODEL
from worker.models.following.canary_mover import CanaryMover, traffic_of
from worker.models.registry.registry_in_turn import RegistryInTurn
from worker.models.registry.registry_reader import RegistryReader

if TYPE_CHECKING:
    from tests.support.registries import MlflowStore

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's store uses it
ONE, TWO = VersionNumber("1"), VersionNumber("2")
GOOD = Figures(ended=1000, errors=0, p99_ms=10, champion_p99_ms=10)


class Killed(Exception):
    """The worker died before a write."""


class Stage:
    """One model with two versions, the first champion, and a canary of the second."""

    def __init__(self, store: "MlflowStore", client: redis.Redis) -> None:
        store.client.create_registered_model(MODEL)
        for _ in range(2):  # nobody loads them: without files
            store.client.create_model_version(MODEL, store.directory.as_uri(), run_id="0" * 32)
        store.promote("champion", ONE)
        settings = Registry(url=store.url)
        self.client, self.store, self.now = client, store, 1000.0
        self.reader, self.writer = RegistryReader(settings), DyingWriter(lambda: store.client)
        self.writer.end = Killed()
        registry = RegistryInTurn(self.reader, self.writer, client=client, worker="w", now=lambda: self.now)
        self.mover = CanaryMover(registry, client=client)

    def begin(self) -> None:
        at = self.now
        self.write(
            Canary(
                version=TWO, champion=ONE, steps=(5, 100), every=60, max_errors=0.01, max_p99=1.5, began=at, since=at
            )
        )

    def write(self, canary: Canary) -> None:
        self.store.client.set_registered_model_tag(MODEL, CANARY_TAG, canary.to_text())

    @property
    def canary(self) -> Canary:
        return Canary.from_text(self.reader.read(MODEL).tags[CANARY_TAG])

    @property
    def traffic(self) -> tuple[object, ...]:
        found: Traffic = traffic_of(self.reader.read(MODEL))
        return found.champion, found.challenger, found.percent

    def move(self, figures: Figures | None = None) -> None:
        """Let a worker move; where figures are given upkeep has written them, and a minute has passed."""
        if figures is not None:
            self.now += 60
            canary_figures.write_figures(self.client, MODEL, self.canary, figures)
        self.mover.move_all({MODEL: self.reader.read(MODEL)})


@pytest.fixture
def stage(mlflow_store: "MlflowStore", redis_client: redis.Redis) -> Stage:
    return Stage(mlflow_store, redis_client)


def test_a_version_that_holds_becomes_champion_and_rollback_knows_the_one_before(stage: Stage) -> None:
    stage.begin()
    stage.move()
    assert stage.traffic == (ONE, TWO, 5)
    stage.move()  # nobody has written figures yet
    assert stage.canary.step == 0
    stage.move(GOOD)
    assert stage.traffic == (ONE, TWO, 100)
    stage.move(GOOD)
    assert stage.traffic == (TWO, None, None)
    assert (stage.canary.phase, stage.canary.moving) == (Phase.PROMOTED, False)
    assert stage.reader.read(MODEL).tags["darkroom.previous_champion"] == ONE
    stage.move(GOOD)
    assert stage.traffic == (TWO, None, None)
    assert canary_figures.running(stage.client) == {}


def test_a_version_that_fails_goes_back_and_the_tag_says_why(stage: Stage) -> None:
    stage.begin()
    stage.move()
    stage.move(replace(GOOD, errors=20))
    assert stage.traffic == (ONE, None, None)
    assert stage.canary.phase is Phase.WENT_BACK
    assert "failed 20 of 1,000 images" in stage.canary.words()


def test_a_version_that_gets_too_few_images_goes_back_and_the_tag_says_why(stage: Stage) -> None:
    stage.begin()
    stage.write(replace(stage.canary, patience=120))
    stage.move()
    few = replace(GOOD, ended=3)
    stage.move(few)
    assert "waits until it has answered 100 images at 5%, at most until" in stage.canary.words()
    assert stage.traffic == (ONE, TWO, 5)
    stage.move(few)
    assert stage.traffic == (ONE, None, None)
    assert stage.canary.phase is Phase.WENT_BACK
    assert "at 5% it answered 3 of 100 images within 2m" in stage.canary.words()


def test_a_version_that_no_worker_can_load_goes_back_and_the_tag_says_why(stage: Stage) -> None:
    stage.begin()
    stage.move()
    route = Route(model=MODEL, description="", aliases={"champion": ONE}, versions={}, failed={TWO: "it needs a GPU"})
    model_routes.publish(stage.client, route)
    stage.move()
    assert stage.canary.is_running
    assert "workers can't load it: it needs a GPU" in stage.canary.words()
    # Another worker has loaded it meanwhile.
    model_routes.publish(stage.client, replace(route, aliases={"champion": ONE, "challenger": TWO}))
    stage.move(replace(GOOD, ended=0))
    assert "waits until it has answered" in stage.canary.words()
    model_routes.publish(stage.client, route)
    stage.move()
    assert stage.traffic == (ONE, None, None)
    assert stage.canary.phase is Phase.WENT_BACK
    assert "workers can't load it: it needs a GPU" in stage.canary.words()


@pytest.mark.parametrize("figures", [GOOD, replace(GOOD, errors=20)])
def test_killed_before_any_write_the_next_worker_goes_on(stage: Stage, figures: Figures) -> None:
    stage.begin()
    for writes in range(12):
        # A worker dies before each write in turn; then another one comes.
        stage.writer.left = writes % 4
        stage.move(figures if not stage.canary.moving and stage.canary.is_running else None)
        stage.writer.left = 10**9
        stage.move()
        assert not stage.canary.moving
        assert stage.canary.phase is not Phase.ENDED, stage.canary.reason
        expected = {
            Phase.RUNNING: (ONE, TWO, stage.canary.percent),
            Phase.PROMOTED: (TWO, None, None),
            Phase.WENT_BACK: (ONE, None, None),
        }
        assert stage.traffic == expected[stage.canary.phase]
    assert stage.canary.phase is (Phase.WENT_BACK if figures.errors else Phase.PROMOTED)


@pytest.mark.parametrize(("steps", "writes"), [((5, 100), 0), ((5, 100), 1), ((100,), 2), ((100,), 4)])
def test_a_version_that_is_deleted_goes_back_wherever_its_canary_is(
    stage: Stage, writes: int, steps: tuple[int, ...]
) -> None:
    stage.begin()
    stage.write(replace(stage.canary, steps=steps))
    for _ in steps[1:]:
        stage.move()
        stage.move(GOOD)
    stage.writer.left = writes  # the worker dies in the middle of a step, or of making it champion
    stage.move()
    stage.move(GOOD if not stage.canary.moving else None)
    stage.store.client.delete_model_version(MODEL, TWO)
    stage.writer.left = 10**9
    stage.move()
    assert not stage.canary.is_running
    assert not stage.canary.moving
    assert stage.traffic[1] is None
    if stage.canary.phase is Phase.WENT_BACK:
        assert "version 2 is not in the registry any more" in stage.canary.words()
        assert stage.traffic == (ONE, None, None)


def test_whoever_else_moves_an_alias_ends_it_and_is_not_undone(stage: Stage) -> None:
    stage.begin()
    stage.move()
    stage.store.client.set_registered_model_alias(MODEL, "champion", TWO)
    stage.move(GOOD)
    assert stage.canary.phase is Phase.ENDED
    assert "somebody else made version 2 the champion" in stage.canary.words()
    assert stage.traffic == (TWO, TWO, 5)
    stage.move(GOOD)
    assert stage.traffic == (TWO, TWO, 5)


def test_a_stop_moves_the_traffic_back(stage: Stage) -> None:
    stage.begin()
    stage.move()
    stage.write(replace(stage.canary, phase=Phase.STOPPED, moving=True, reason="an operator stopped it"))
    stage.move()
    assert stage.traffic == (ONE, None, None)
    assert (stage.canary.phase, stage.canary.moving) == (Phase.STOPPED, False)


def test_one_worker_moves_at_a_time_and_a_tag_that_is_none_is_left_alone(stage: Stage) -> None:
    stage.begin()
    with ModelTurns(stage.client, worker="other").held(MODEL) as turn:
        assert turn is not None
        stage.move()
        assert stage.traffic == (ONE, None, None)
    stage.store.client.set_registered_model_tag(MODEL, CANARY_TAG, "nonsense")
    stage.move()
    assert stage.traffic == (ONE, None, None)
