"""Loading versions into memory."""

import pytest

from tests.support.deferred_imports import deferred
from worker.models.errors import ModelUnavailable

version_cache = deferred("worker.models.version_cache")
pytestmark = pytest.mark.xdist_group("torch")


def test_a_version_whose_code_calls_exit_fails_to_load() -> None:
    def load(_: object) -> object:
        raise SystemExit(3)

    with pytest.raises(ModelUnavailable, match="SystemExit: 3"):
        version_cache.VersionCache(load, room=1).get("1-a")
