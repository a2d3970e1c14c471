"""Delays between the statements of Darkroom's modules change when things happen, and nothing else."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PROGRAM = """
import asyncio, sys
from datetime import timedelta
from api.state import refresher
import sitecustomize

async def read():
    await asyncio.sleep(0)

async def main():
    one = refresher.Refresher(read, pause=timedelta(hours=1), stale="")
    waiting = asyncio.create_task(one.once_more())
    await asyncio.sleep(0)
    waiting.cancel()
    print(*map(type, await asyncio.gather(waiting, return_exceptions=True)))
    print(await one.once_more())
    await one.close()

asyncio.run(main())
print(len(sitecustomize.reached) > 10, any(place.endswith("delayed_await") for place in sitecustomize.reached))
"""


def test_modules_do_the_same_with_delays_in_them() -> None:
    environment = {"DARKROOM_DELAYS": "7", "PYTHONPATH": os.pathsep.join([str(ROOT / "tests/soak/delays"), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == ["<class 'asyncio.exceptions.CancelledError'>", "None", "True True"], done.stderr
