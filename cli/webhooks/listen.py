"""Receive webhooks on this machine and print a line for each."""

import threading
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.text import Text
from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError

from cli.addresses import api_key, gateway_url
from cli.client import Client, Declined
from cli.terminal.interrupts import terminated_as_interrupted
from cli.terminal.lines import say
from cli.terminal.names import shown
from cli.terminal.refused import Refused
from cli.webhooks.delivery import Delivery
from cli.webhooks.receiver import Receiver


def listen(home: Path, port: int, *, secret: str | None) -> None:
    """Receive webhooks until Ctrl-C, verified with `secret`, by default the gateway's. Raises Refused."""
    webhook = _verifier(secret or _gateways_secret(home))
    heard = Heard(Console())
    try:
        receiver = Receiver(port, webhook, heard.tell)
    except OSError as error:
        raise Refused(f"Port {port} can't be listened on: {error.strerror}") from None
    with terminated_as_interrupted(), receiver:
        try:
            say(f"Listening: submit with webhook={receiver.url}")
            receiver.serve_forever()
        except KeyboardInterrupt:
            say(f"\n{heard.summary()}")


@dataclass(slots=True)
class Heard:
    """Prints and counts what was received; called from several threads."""

    console: Console
    came: int = 0
    verified: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def tell(self, what: Delivery | str) -> None:
        """Print a line for a delivery, or for a refused request."""
        with self._lock:
            if isinstance(what, Delivery):
                self.came += 1
                self.verified += not what.doubt
            time = datetime.now().astimezone().strftime("%H:%M:%S")
            # No wrapping and no highlighting: programs may read the lines.
            self.console.print(line(what, time=time), soft_wrap=True, highlight=False)

    def summary(self) -> str:
        """Return a sentence with the counts."""
        if not self.came:
            return "Nothing came."
        return f"{self.came:,} came, {self.verified:,} of them verified."


def line(what: Delivery | str, *, time: str) -> Text:
    """Return the line of a delivery, or of a refused request."""
    if isinstance(what, str):
        return Text.assemble((time, "dim"), "  ", (shown(what), "yellow"))
    judged = (f"not verified: {what.doubt}", "red") if what.doubt else ("verified", "green")
    return Text.assemble((time, "dim"), f"  {what.event}  {what.said}  ", judged)


def _verifier(secret: str) -> Webhook:
    """Return the verifier of a secret; raises Refused where it is malformed."""
    try:
        return Webhook(secret)
    except (ValueError, EmptyWebhookSecretError):
        raise Refused("That is not a secret: it must be whsec_ followed by base64, as the gateway gives it.") from None


def _gateways_secret(home: Path) -> str:
    """Fetch the secret that the gateway signs with; raises Refused."""
    try:
        with Client(gateway_url(home), home=home, api_key=api_key()) as client:
            return str(client.ask("GET", "/v1/webhooks/default/secret").json()["key"])
    except Declined as error:
        raise Refused(str(error)) from None
