"""`python -m tests.soak`: faults at random instants under load against a stack of its own, then the reckoning.

Exit 0 where the books agree, 1 with a line for each thing that is wrong. The same seed plays the same faults.
"""

import argparse
import json
import socket
import sys
import time
from pathlib import Path

from tests.soak.clients import Clients
from tests.soak.faults import Faults
from tests.soak.ledger import Ledger
from tests.soak.plan import make_plan
from tests.soak.receiver import receiving
from tests.soak.reckoning import reckon
from tests.soak.stack import SoakedStack, begin, running


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600, help="how long the load lasts")
    parser.add_argument("--seed", type=int, default=None, help="of the faults and the clients; none: from the clock")
    parser.add_argument("--mean-gap", type=float, default=4.0, help="seconds from one fault to the next, on average")
    parser.add_argument("--delays", action="store_true", help="delay statements of gateways and workers by chance, too")
    parser.add_argument("--plan", action="store_true", help="print the faults and end")
    parser.add_argument("--report", type=Path, default=None, help="file for the totals, as JSON")
    given = parser.parse_args()
    seed = time.time_ns() % 10**6 if given.seed is None else given.seed
    if given.plan:
        for fault in make_plan(seed=seed, seconds=given.seconds, mean_gap=given.mean_gap, can_fill=True):
            _say(str(fault))
        return 0
    again = f"--seed {seed} --seconds {given.seconds:g}" + " --delays" * given.delays
    _say(f"seed {seed}: {given.seconds:.0f} s; the same again: {again}")
    with running(port=_free_port(), delays=seed if given.delays else None) as stack:
        totals, violations = _run(stack, seed=seed, seconds=given.seconds, mean_gap=given.mean_gap)
    for name, value in totals.items():
        _say(f"{name:<42} {json.dumps(value)}")
    for words in violations[:50]:
        _say(f"WRONG: {words}")
    _say("The books agree." if not violations else f"{len(violations)} things are wrong.")
    if given.report is not None:
        given.report.write_text(json.dumps({"seed": seed, "totals": totals, "violations": violations}, indent=1) + "\n")
    return 1 if violations else 0


def _run(stack: SoakedStack, *, seed: int, seconds: float, mean_gap: float) -> tuple[dict[str, object], list[str]]:
    """Return the totals and what is wrong."""
    ledger = Ledger()
    with receiving(seed=seed) as inbox:
        _say("starting the stack" + ("" if stack.has_disk else " (no disk of its own can be had: it never is full)"))
        begin(stack)
        inbox.secret = stack.webhook_secret()
        plan = make_plan(seed=seed, seconds=seconds, mean_gap=mean_gap, can_fill=stack.has_disk)
        faults = Faults(stack, inbox, _say)
        ledger.begin()
        with Clients(stack.url, ledger, seed=seed, hook=inbox.url):
            faults.play(plan, seconds=seconds)
            _say("no more faults: everybody finishes what they have in hand")
        _say("reckoning")
        totals = reckon(stack, ledger, inbox)
    return {"faults": faults.done, "faults left out": faults.left_out, **totals}, ledger.violations


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def _say(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
