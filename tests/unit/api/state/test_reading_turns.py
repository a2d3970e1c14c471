"""Owners read large results a piece each in turn, and few reads run at once."""

import asyncio

from api.state.reading_turns import AT_ONCE, ReadingTurns
from shared.domain.identifiers import Owner


def test_owners_take_turns_and_few_reads_run_at_once() -> None:
    async def claim() -> list[str]:
        turns, order, now, most = ReadingTurns(), [], 0, 0

        async def read(owner: str, pieces: int) -> None:
            nonlocal now, most
            for _ in range(pieces):
                async with turns.of(Owner(owner)):
                    now += 1
                    most = max(most, now)
                    order.append(owner)
                    await asyncio.sleep(0)
                    now -= 1

        greedy = [asyncio.create_task(read("greedy", 5)) for _ in range(16)]
        await asyncio.sleep(0)
        await read("other", 3)
        assert order.count("greedy") <= 10, "it waits for few of the others' pieces"
        await asyncio.gather(*greedy)
        assert most <= AT_ONCE
        return order

    assert len(asyncio.run(claim())) == 16 * 5 + 3
