"""A follower that is stopped while it reads the registry."""

from typing import TYPE_CHECKING

import pytest
import redis

from tests.support.followers import Followers
from worker.models.registry.registry_snapshot import RegistrySnapshot

if TYPE_CHECKING:
    from worker.models.following.registry_follower import RegistryFollower

pytestmark = pytest.mark.xdist_group("torch")  # one process imports torch and MLflow


def test_whoever_waits_until_the_model_is_lost_learns_of_a_stop_during_a_refresh(redis_client: redis.Redis) -> None:
    """The end of the refresh must not undo the stop: the model would be served on without being followed."""
    made: list[RegistryFollower] = []

    def read() -> RegistrySnapshot:
        made[0].stop()
        return RegistrySnapshot()

    made.append(Followers(redis_client, "http://127.0.0.1:1").make(read=read))
    made[0].refresh()
    assert made[0].is_followed
    made[0].wait_until_lost()  # else it waits until the test's time is over
