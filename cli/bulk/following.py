"""Follow a run's batches to their end, while more are being sent."""

import time
from typing import Final

from cli.bulk import batches
from cli.bulk.meter import Meter
from cli.bulk.sending import Sending
from cli.client import Client

# A round through many batches takes longer; the gateway has other things to do.
_SHARE_OF_TIME: Final = 0.2


def watch_batches(client: Client, sending: Sending, meter: Meter) -> None:
    """Return when everything was sent and has ended; raises client.Declined, and what the client's pause raises."""
    while True:
        began = time.monotonic()
        # Asked before looking: what is taken after the look is looked at the next time.
        is_over = sending.is_over.is_set()
        unended = [taken for taken in sending.watched if not taken.has_ended]
        for taken in unended:
            taken.batch = batches.read_batch(client, taken.entry.batch)
        meter.show(done=sending.done, total=sending.total, is_sending=not is_over)
        if is_over and all(taken.has_ended for taken in unended):
            return
        took = time.monotonic() - began
        client.pause(max(batches.POLL_PAUSE.total_seconds(), took / _SHARE_OF_TIME - took))
