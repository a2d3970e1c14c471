"""One model in one worker process: when it is served, and when that is over."""

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest

from shared.domain.identifiers import ModelName
from tests.support.deferred_imports import deferred
from tests.support.waiting import LIMIT, until

if TYPE_CHECKING:
    from worker.roles.model_parts import ModelParts
    from worker.roles.model_service import ModelService

model_parts = deferred("worker.roles.model_parts")
model_service = deferred("worker.roles.model_service")
pytestmark = pytest.mark.xdist_group("torch")  # one process imports torch and MLflow


class Followed:
    """In place of a follower: its model is loaded at once, and lost when the test says so."""

    def __init__(self) -> None:
        self.lost = threading.Event()
        self.is_first_read = False
        self.is_followed = False

    def start(self) -> None:
        self.is_followed = self.is_first_read = True

    def wait_until_followed(self, *, longest: timedelta) -> bool:  # noqa: ARG002  the follower's form
        return True

    def wait_until_lost(self) -> None:
        self.lost.wait()

    def stop(self) -> None:
        self.lost.set()


class Signs:
    """In place of a model's lanes: signs of life are held up until the test lets them go."""

    def __init__(self) -> None:
        self.model = ModelName("m")
        self.asked, self.go_on = threading.Event(), threading.Event()

    def sign_of_life(self) -> None:
        self.asked.set()
        assert self.go_on.wait(LIMIT)


def service_of(follower: Followed, lanes: Signs, **calls: Any) -> "ModelService":
    parts = model_parts.ModelParts(cast("Any", follower), cast("Any", lanes), cast("Any", None), cast("Any", None))
    nothing = {"begin": lambda _: None, "end": lambda _: None, "is_ending": lambda: False}
    service: ModelService = model_service.ModelService(parts, **{**nothing, **calls})
    return service


def test_a_model_that_is_loaded_counts_as_read_only_once_it_is_served() -> None:
    """`darkroom up` is ready then; a worker that is not registered yet would be missing in /health/ready."""
    follower, lanes, begun = Followed(), Signs(), threading.Event()
    service = service_of(follower, lanes, begin=lambda _: begun.set())
    service.start()
    assert lanes.asked.wait(LIMIT)
    assert follower.is_first_read
    assert not service.is_first_read
    lanes.go_on.set()
    until(lambda: service.is_first_read)
    assert begun.is_set()
    service.stop()
    until(lambda: service.has_ended)


def test_a_model_that_is_left_to_others_counts_as_read_although_it_is_not_served() -> None:
    follower = Followed()
    service = service_of(follower, Signs())
    follower.is_first_read = True
    assert service.is_first_read


def test_a_stopped_service_has_ended_only_once_what_was_in_hand_is_finished() -> None:
    follower, lanes = Followed(), Signs()
    lanes.go_on.set()
    ending, finished = threading.Event(), threading.Event()

    def end(_: "ModelParts") -> None:
        ending.set()
        assert finished.wait(LIMIT)

    service = service_of(follower, lanes, end=end)
    service.start()
    until(lambda: service.is_first_read)
    service.stop()
    assert ending.wait(LIMIT)
    assert not service.has_ended
    finished.set()
    until(lambda: service.has_ended)
