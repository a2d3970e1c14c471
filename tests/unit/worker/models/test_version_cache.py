"""Loading versions into memory."""

import pytest

from worker.models.errors import ModelUnavailable
from worker.models.version_cache import VersionCache


def test_a_version_whose_code_calls_exit_fails_to_load() -> None:
    def load(_: object) -> object:
        raise SystemExit(3)

    with pytest.raises(ModelUnavailable, match="SystemExit: 3"):
        VersionCache(load, room=1).get("1-a")  # type: ignore[arg-type]
