"""`darkroom models` beside a running stack: a version is shown, checked, promoted and rolled back."""

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from shared.queue import route_readers
from shared.queue.connection.clients import connect
from shared.queue.server_clock import server_time_us
from shared.settings import Redis
from tests.support.api_client import Door
from tests.support.extra_processes import GatewayByHand
from tests.support.pictures import renewed
from tests.support.stack import Stack
from tests.support.version_copies import copied_version
from tests.support.waiting import LIMIT, until

PNG = {"Content-Type": "image/png"}


def version_of_a_new_image(door: Door, scan: bytes) -> str:
    """Return the version to which the gateway binds an image that comes now."""
    answer = door.submit(scan)
    assert answer.status_code in (200, 202), answer.text
    return str(answer.json()["version"])


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
    assert version_of_a_new_image(door, scan) == copy
    shown = stack.darkroom("models", "show", "digits").stdout
    assert "traffic  champion 100%" in shown
    rolled_back = stack.darkroom("models", "rollback", "digits").stdout
    assert f"Rolled digits back from version {copy} to 1, its champion before." in rolled_back
    assert "Version 1 serves as champion (" in rolled_back
    assert version_of_a_new_image(door, scan) == "1"
    assert door.submit(scan, model="models:/digits/latest").json()["version"] == copy


def test_a_promotion_is_live_at_a_gateway_that_was_held_up_when_the_command_returns(
    stack: Stack, scan: bytes, copy: str
) -> None:
    gateway = GatewayByHand(stack)
    with (
        connect(Redis(url=stack.stores["DARKROOM_REDIS_URL"])) as client,
        ThreadPoolExecutor(1) as pool,
        ExitStack() as after,
    ):
        after.callback(gateway.close)
        gateway.begin()
        gateway.process.send_signal(signal.SIGSTOP)
        since_us = server_time_us(client)
        promoting = pool.submit(stack.darkroom, "models", "promote", "digits", copy)
        held_up = f" {gateway.process.pid} "
        until(
            lambda: [held_up in one for one in route_readers.late(client, since_us=since_us)] in ([True], []),
            what="only the stopped gateway is late",
        )
        gateway.process.send_signal(signal.SIGCONT)
        assert f"Version {copy} serves as champion (" in promoting.result().stdout
        answer = httpx.post(f"{gateway.url}/v1/predictions", content=scan, headers=PNG, trust_env=False)
        assert answer.json()["version"] == copy


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
        end, answered = time.monotonic() + LIMIT, []
        while not answered:
            assert time.monotonic() < end
            image = renewed(scan)
            one = door.submit(image, headers={"Prefer": "wait=60"}).json()
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
