"""Memory of bodies: counted by owner, refused beyond the limits, and given back."""

import asyncio
import random

import pytest

from api.state.body_memory import BULK_BASE, BodyMemory, largest_in_hand
from shared.domain.errors import GatewayBusy, TooMuchInHand
from shared.domain.identifiers import Owner
from shared.settings import Intake
from tests.support.waiting import LIMIT

MB = 1024 * 1024
ANN, BOB, CAT = Owner("ann"), Owner("bob"), Owner("cat")
NARROW = Intake(max_image_bytes=MB, max_owner_bytes_in_hand=6 * MB, max_bytes_in_hand=10 * MB)
TINY = Intake(max_image_bytes=MB, max_owner_bytes_in_hand=1, max_bytes_in_hand=1)
"""Room for one body, no more."""


def test_bytes_in_hand_are_limited_by_owner_and_in_total() -> None:
    in_hand = BodyMemory(NARROW)
    with in_hand.hold(ANN) as anns, in_hand.hold(BOB) as bobs:
        anns.take(6 * MB)
        with in_hand.hold(ANN) as more, pytest.raises(TooMuchInHand):
            more.take(1)
        bobs.take(3 * MB)
        with in_hand.hold(CAT) as others, pytest.raises(GatewayBusy):
            others.take(2 * MB)
        assert in_hand.bytes == 9 * MB
    assert in_hand.bytes == 0
    with in_hand.hold(ANN) as again:
        again.take(6 * MB)


def test_one_body_always_fits() -> None:
    limits = Intake(max_image_bytes=100 * MB, max_owner_bytes_in_hand=1, max_bytes_in_hand=1)
    with BodyMemory(limits).hold(ANN) as hold:
        hold.take(limits.max_image_bytes * 4 // 3)


def test_a_large_item_waits_for_room_and_small_ones_never_wait() -> None:
    in_hand = BodyMemory(NARROW)
    most = largest_in_hand(NARROW)

    async def claim() -> None:
        with in_hand.hold(ANN) as first, in_hand.hold(ANN) as second, in_hand.hold(ANN) as third:
            for hold in (first, second, third):
                hold.take(BULK_BASE)
                await hold.reach(BULK_BASE, most=most)
            await first.reach(BULK_BASE + 1, most=most)
            waits_too = asyncio.create_task(second.reach(BULK_BASE + 1, most=most))
            waits = asyncio.create_task(third.reach(BULK_BASE + 1, most=most))
            await asyncio.sleep(0.12)
            assert not waits.done()
            assert in_hand.bytes <= in_hand.most_of_owner
            with in_hand.hold(ANN) as small:
                small.take(BULK_BASE)  # there is room for an owner with few bytes in hand
            for hold, waiting in ((first, waits_too), (second, waits)):
                hold.shrink()
                await waiting
            assert third.size == most

    asyncio.run(claim())
    assert in_hand.bytes == 0


@pytest.mark.parametrize("limits", [NARROW, TINY])
def test_any_sequence_of_uploads_ends_with_no_bytes_in_hand(limits: Intake) -> None:
    in_hand, chance = BodyMemory(limits), random.Random(7)
    most = largest_in_hand(limits)
    seen = 0

    async def upload(owner: Owner) -> None:
        nonlocal seen
        with in_hand.hold(owner) as hold:
            while True:
                try:
                    hold.take(BULK_BASE)
                    break
                except (TooMuchInHand, GatewayBusy):
                    await asyncio.sleep(0.01)
            for _ in range(5):
                for size in range(0, 2 * MB, 100_000):
                    await hold.reach(size, most=most)
                    seen = max(seen, in_hand.bytes)
                    if chance.random() < 0.2:
                        await asyncio.sleep(0)
                hold.shrink()

    async def claim() -> None:
        async with asyncio.timeout(LIMIT):
            await asyncio.gather(*(upload(chance.choice((ANN, BOB, CAT))) for _ in range(8)))

    asyncio.run(claim())
    assert in_hand.bytes == 0
    assert most <= seen <= in_hand.most + most
