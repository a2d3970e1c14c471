"""Where the gateway listens: on its own machine's loopback, or for others too."""

import sys

from uvicorn.main import main as uvicorn_command


def listening_host() -> str:
    """Return the host that uvicorn's command line or environment names; empty for a Unix socket or a file descriptor.

    An app that something else than the `uvicorn` command serves is taken to listen on loopback; each request's own
    address is looked at anyway.
    """
    context = uvicorn_command.make_context(
        "uvicorn", sys.argv[1:], resilient_parsing=True, auto_envvar_prefix="UVICORN"
    )
    given = context.params
    return "" if given.get("uds") or given.get("fd") is not None else str(given.get("host") or "127.0.0.1")
