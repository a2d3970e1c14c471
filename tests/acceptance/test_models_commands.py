"""`darkroom models` beside a running stack: a version is shown, checked, promoted and rolled back."""

import time
from collections.abc import Iterator

import pytest

from tests.support.api_client import Door
from tests.support.pictures import renewed
from tests.support.stack import Stack
from tests.support.version_copies import copied_version
from tests.support.waiting import until


def wait_for_version(door: Door, scan: bytes, version: str) -> None:
    """Return once the gateway binds new images to a version: it reads what serves once a second."""

    def is_bound() -> bool:
        answer = door.submit(scan)
        assert answer.status_code in (200, 202), answer.text
        return bool(answer.json()["version"] == version)

    until(is_bound, what=f"version {version} gets new images", pause=0.1)


@pytest.fixture
def copy(stack: Stack) -> Iterator[str]:
    """The number of another version of `digits`, with the files of the first; deleted after the test."""
    with copied_version(stack) as number:
        yield number


def test_a_version_is_promoted_and_rolled_back_while_images_come(
    stack: Stack, door: Door, scan: bytes, copy: str
) -> None:
    promoted = stack.darkroom("models", "promote", "digits", "latest").stdout
    assert f"Promoted version {copy} of digits, before it was 1." in promoted
    assert f"Version {copy} serves as champion (" in promoted
    wait_for_version(door, scan, copy)
    shown = stack.darkroom("models", "show", "digits").stdout
    assert "traffic  champion 100%" in shown
    rolled_back = stack.darkroom("models", "rollback", "digits").stdout
    assert f"Rolled digits back from version {copy} to 1, its champion before." in rolled_back
    assert "Version 1 serves as champion (" in rolled_back
    wait_for_version(door, scan, "1")
    assert door.submit(scan, model="models:/digits/latest").json()["version"] == copy


def test_a_served_version_is_checked_with_an_image(stack: Stack) -> None:
    checked = stack.darkroom("models", "check", "digits", "--image", str(stack.images[0])).stdout
    assert checked.startswith("version    models:/digits/1, loaded in ")
    assert '{"predicted_class":' in checked
    assert checked.endswith("A worker would serve it.\n")


def test_a_shadow_predicts_what_the_champion_answered_and_clients_see_it_only_when_they_ask(
    stack: Stack, door: Door, scan: bytes, copy: str
) -> None:
    assert f"Version {copy} serves as shadow (" in stack.darkroom("models", "shadow", "digits", copy).stdout
    try:
        assert (
            f"version {copy} predicts 100% of the champion's images"
            in stack.darkroom("models", "show", "digits").stdout
        )
        end, answered = time.monotonic() + 60, []
        while not answered:
            assert time.monotonic() < end
            image = renewed(scan)
            one = door.submit(image, headers={"Prefer": "wait=10"}).json()
            assert (one["version"], one["variant"], one["status"]) == ("1", "champion", "succeeded")
            again = time.monotonic() + 5
            while not answered and time.monotonic() < again:
                time.sleep(0.2)
                answered = door.get(f"/v1/predictions/{one['id']}", params={"include": "shadow"})["shadow"]
        assert [(s["version"], s["status"], s["agrees"]) for s in answered] == [(copy, "succeeded", True)]
        shown = door.get(f"/v1/predictions/{one['id']}")
        assert "shadow" not in shown
        assert shown["version"] == "1"
        assert door.get("/v1/models/digits")["shadow"] == {copy: 100}
        stack.darkroom("audit")
    finally:
        assert "has no shadow any more" in stack.darkroom("models", "shadow", "digits", "--off").stdout
