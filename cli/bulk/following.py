"""Polls a run's batches until all have ended, while more are being sent."""

import time
from typing import Final

from cli.bulk import batches
from cli.bulk.sending import Sending
from cli.client import Client
from cli.terminal.meter import Meter

# Polling takes at most this share of the time: a round through many batches is followed by a longer pause.
_SHARE_OF_TIME: Final = 0.2


def watch_batches(client: Client, sending: Sending, meter: Meter) -> None:
    """Return when all was sent and has ended; raises client.Declined, and what the client's pause raises."""
    while True:
        began = time.monotonic()
        # Read before polling: a part taken during the poll is polled in the next round.
        is_over = sending.is_over.is_set()
        unended = [taken for taken in sending.watched if not taken.has_ended]
        for taken in unended:
            taken.batch = batches.read_batch(client, taken.entry.batch)
        meter.show(done=sending.done, total=sending.total, step="predicting" if is_over else "sending")
        if is_over and all(taken.has_ended for taken in unended):
            return
        took = time.monotonic() - began
        client.pause(max(batches.POLL_PAUSE.total_seconds(), took / _SHARE_OF_TIME - took))
