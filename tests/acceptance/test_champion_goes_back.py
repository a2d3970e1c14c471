"""A champion that loads and then fails what clients send goes back, and stays so when every worker was killed."""

from typing import Any

import pytest

from tests.support.breakable_stack import Breakable, colour, picture
from tests.support.faulty_model import CLASSES, NAME, RAISES
from tests.support.waiting import until

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's store uses it


def test_a_champion_that_fails_images_goes_back_and_killed_workers_come_back_to_the_one_before(
    breakable: Breakable, registry_client: Any
) -> None:
    client = registry_client
    first = client.get_model_version_by_alias(NAME, "champion")

    def promote(number: object) -> None:
        client.set_registered_model_alias(NAME, "champion", str(number))
        until(lambda: aliases() == {"champion": str(number)}, what="it serves")

    def model() -> dict[str, object]:
        found: dict[str, object] = breakable.get(f"/v1/models/{NAME}")
        return found

    def aliases() -> object:
        return model()["aliases"]

    again = client.create_model_version(NAME, first.source, model_id=first.source.rpartition("/")[2])
    try:
        promote(again.version)
        for _ in range(25):
            breakable.ended(breakable.submit(colour(*RAISES)))
        until(lambda: aliases() == {"champion": str(first.version)}, what="the one before serves")
        [failed] = model()["failed_versions"]  # type: ignore[misc]
        assert failed["version"] == str(again.version)
        assert "images failed: " in failed["error"]
        assert "ValueError: no such picture" in failed["error"]
        breakable.kill(*breakable.pids("predict"))
        breakable.wait_until_mended()
        found = breakable.ended(breakable.submit(picture(31_000)))
        assert (found["version"], found["output"]["predicted_index"]) == (str(first.version), 31_000 % CLASSES)
        assert (aliases(), model()["failed_versions"]) == ({"champion": str(first.version)}, [failed])
        assert str(client.get_model_version_by_alias(NAME, "champion").version) == str(again.version)
        breakable.stack.darkroom("models", "show", NAME)
    finally:
        promote(first.version)
    until(lambda: model()["failed_versions"] == [], what="another promotion clears it")
