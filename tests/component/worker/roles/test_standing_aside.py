"""A process that loads a version leaves images to other workers, unless they are late with them."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

import pytest
import redis

from shared.domain.identifiers import ModelName
from shared.queue import keys
from shared.queue.lua import Script, Scripts
from tests.support.deferred_imports import deferred
from tests.support.predictors import MODEL, Make, Submit, Watched
from tests.support.waiting import until

if TYPE_CHECKING:
    from worker.roles.model_parts import ModelParts
    from worker.roles.standing_aside import StandingAside

model_parts = deferred("worker.roles.model_parts")
standing_aside = deferred("worker.roles.standing_aside")
pytestmark = pytest.mark.xdist_group("torch")  # one process imports torch and MLflow

ME, OTHER = "me", "other"


class Consumed:
    """Which models' bells the process hears."""

    def __init__(self, *models: ModelName) -> None:
        self.models = set(models)

    def begin(self, model: ModelName) -> None:
        self.models.add(model)

    def end(self, model: ModelName) -> None:
        self.models.discard(model)


@pytest.fixture
def served(predictor: Make) -> Iterator[dict[ModelName, "ModelParts"]]:
    """What a process serves: one model."""
    one = predictor(Watched(), worker=ME)
    yield {MODEL: model_parts.ModelParts(cast("Any", None), one._lanes, one, cast("Any", None))}
    one.stop()


@pytest.fixture
def heard() -> Consumed:
    """The bells of that model are heard."""
    return Consumed(MODEL)


@pytest.fixture
def aside(redis_client: redis.Redis, served: dict[ModelName, "ModelParts"], heard: Consumed) -> "StandingAside":
    """What surrounds that process' loading."""
    made: StandingAside = standing_aside.StandingAside(
        redis_client,
        worker=ME,
        served=served,
        consume=heard.begin,
        consume_no_more=heard.end,
    )
    return made


@pytest.fixture
def sign(redis_client: redis.Redis) -> Callable[[str], object]:
    """Give a worker's sign of life for the model."""
    return lambda worker: Scripts(redis_client).run(Script.SIGN, (keys.workers(MODEL),), worker)


def test_no_bell_is_heard_while_a_version_is_loaded_that_others_can_do_without(
    aside: "StandingAside", heard: Consumed, sign: Callable[[str], object]
) -> None:
    sign(ME)
    sign(OTHER)
    with aside.while_loading():
        assert (heard.models, aside.models) == (set(), {MODEL})
        with aside.while_loading():  # of another model, in its own thread
            assert heard.models == set()
        assert heard.models == set(), "the first one is still being loaded"
    assert (heard.models, aside.models) == ({MODEL}, set())


def test_a_version_that_fails_to_load_ends_it_too(
    aside: "StandingAside", heard: Consumed, sign: Callable[[str], object]
) -> None:
    sign(OTHER)
    with pytest.raises(ValueError, match="no such file"), aside.while_loading():
        raise ValueError("no such file")
    assert heard.models == {MODEL}


def test_who_is_alone_hears_its_bells(aside: "StandingAside", heard: Consumed, sign: Callable[[str], object]) -> None:
    sign(ME)
    with aside.while_loading():
        assert (heard.models, aside.models) == ({MODEL}, set())


def test_bells_are_heard_again_once_an_image_has_waited_for_long(
    aside: "StandingAside", heard: Consumed, submit: Submit, sign: Callable[[str], object]
) -> None:
    """The other one may have died just now, or have more than it can predict."""
    sign(OTHER)
    with aside.while_loading():
        submit(10)
        until(lambda: heard.models == {MODEL})
        assert aside.models == set()
    assert heard.models == {MODEL}


def test_a_model_that_is_left_meanwhile_is_not_heard_again(
    aside: "StandingAside",
    served: dict[ModelName, "ModelParts"],
    heard: Consumed,
    sign: Callable[[str], object],
) -> None:
    sign(OTHER)
    with aside.while_loading():
        served.pop(MODEL)
    assert heard.models == set()


def test_while_redis_is_away_bells_are_heard(served: dict[ModelName, "ModelParts"], heard: Consumed) -> None:
    nowhere = redis.Redis(port=1, socket_connect_timeout=1)
    aside = standing_aside.StandingAside(
        nowhere, worker=ME, served=served, consume=heard.begin, consume_no_more=heard.end
    )
    with aside.while_loading():
        assert heard.models == {MODEL}
