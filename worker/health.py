"""Health check of the worker on this machine: `python -m worker.health` exits 0, or 1 and says what is wrong.

It reads the time of Celery's last heartbeat from the worker's own `/metrics`, which costs 0.2 s of CPU; asking over
the broker (`celery inspect ping`) costs 1.5 s. A pool that computes in the main loop (`-P solo`) sends no heartbeat
meanwhile, so the last one may be as old as a micro-batch may take before the watchdog ends its process.
"""

import http.client
import re
import sys
import time
from datetime import timedelta
from typing import Final

from shared import settings

HEARTBEAT: Final = re.compile(rb"^darkroom_worker_heartbeat_timestamp_seconds (\S+)$", re.MULTILINE)
SLACK: Final = timedelta(seconds=30)


def find_problem(*, port: int, longest: timedelta, now: float) -> str:
    """Return what is wrong, or ''; the heartbeat may be as old as `longest` at `now` (epoch seconds)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/metrics")
        found = HEARTBEAT.search(connection.getresponse().read())
    except (OSError, http.client.HTTPException) as error:
        return f"port {port} does not answer ({type(error).__name__})"
    finally:
        connection.close()
    if found is None or not float(found[1]):
        return "it does not consume yet"
    age = now - float(found[1])
    return "" if age <= longest.total_seconds() else f"no heartbeat for {age:.0f} s"


def main() -> int:
    """Check the worker at DARKROOM_METRICS_PORT; return the exit status."""
    port = settings.read(settings.Metrics).port
    if port is None:
        problem = "DARKROOM_METRICS_PORT is not set"
    else:
        longest = settings.read(settings.Predict).timeout + SLACK
        problem = find_problem(port=port, longest=longest, now=time.time())
    if problem:
        sys.stderr.write(f"{problem}\n")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
