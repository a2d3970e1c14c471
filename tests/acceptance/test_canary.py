"""A canary on a running stack: one goes through to champion, the next goes back because it fails images."""

import itertools
from typing import Any

import pytest

from tests.support.breakable_stack import Breakable, colour, picture
from tests.support.faulty_model import NAME, RAISES
from tests.support.waiting import until

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's store uses it
NUMBERS = itertools.count(50_000)


def test_a_canary_goes_through_and_one_that_fails_images_goes_back(breakable: Breakable, registry_client: Any) -> None:
    client, stack = registry_client, breakable.stack
    first = client.get_model_version_by_alias(NAME, "champion")

    def version() -> str:
        """Register the champion's files once more."""
        made = client.create_model_version(NAME, first.source, model_id=first.source.rpartition("/")[2])
        return str(made.version)

    def canary() -> str:
        return str(breakable.get(f"/v1/models/{NAME}")["canary"])

    def begin(number: str, *, steps: str) -> None:
        terms = ("--every", "1s", "--min-images", "5", "--max-p99", "1000x")
        stack.darkroom("models", "canary", NAME, number, "--steps", steps, *terms)

    def sending(words: str) -> bool:
        for _ in range(6):
            breakable.submit(picture(next(NUMBERS)))
        return words in canary()

    good, bad = version(), version()
    try:
        begin(good, steps="50,100")
        until(lambda: sending(f"version {good} became champion"), what="it goes through", pause=0.3)
        assert str(client.get_model_version_by_alias(NAME, "champion").version) == good
        begin(bad, steps="100")
        until(lambda: sending(f"version {bad} gets 100%"), what="it gets its share", pause=0.3)

        def failing() -> bool:
            breakable.ended(breakable.submit(colour(*RAISES)))
            return f"version {bad} went back" in canary()

        until(failing, what="it goes back", pause=0.3)
        assert "images, over 1.00%" in canary()
        tried = stack.status()["predict"]["tried"]
        assert tried[NAME]["canary"] == canary()
        assert breakable.get(f"/v1/models/{NAME}")["aliases"] == {"champion": good}
    finally:
        stack.darkroom("models", "canary", NAME, "--off", expect=None)
        stack.darkroom("models", "promote", NAME, str(first.version))
        client.delete_registered_model_tag(NAME, "darkroom.canary")
