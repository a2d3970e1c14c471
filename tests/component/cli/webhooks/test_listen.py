"""`darkroom webhooks listen` as a process, with a substitute for the gateway."""

import http.client
import json
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from rich.console import Console
from standardwebhooks import Webhook

from cli.webhooks.delivery import Delivery
from cli.webhooks.listen import Heard, line
from tests.support.command_forks import CommandForks, Ended, Running
from tests.support.ports import free_port
from tests.support.waiting import LIMIT

SECRET, ANOTHER = ("whsec_" + letter * 43 + "=" for letter in "AE")


def listen(forks: CommandForks, port: int, *arguments: str, home: Path, **environment: str) -> Running:
    return forks.start("webhooks", "listen", str(port), *arguments, home=home, **environment)


def post(port: int, *, secret: str) -> int:
    body, now = (
        json.dumps({"id": "0198-p", "status": "succeeded", "output": {"predicted_class": "7"}}),
        datetime.now(UTC),
    )
    headers = {
        "webhook-id": "0198-e",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign("0198-e", now, body),
    }
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)) as connection:
        connection.request("POST", "/any/path", body, headers)
        return connection.getresponse().status


class Gateway(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        is_right = self.path == "/v1/webhooks/default/secret" and self.headers["Authorization"] == "Bearer k"
        content = json.dumps({"key": SECRET} if is_right else {"title": "No", "detail": "nothing for you"}).encode()
        self.send_response(200 if is_right else 404)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def gateway_url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Gateway) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "terminated"])
def test_it_reads_the_secret_prints_a_line_each_and_ends_with_the_count(
    command_forks: CommandForks, gateway_url: str, tmp_path: Path, how: signal.Signals
) -> None:
    port = free_port()
    process = listen(command_forks, port, home=tmp_path, DARKROOM_URL=gateway_url, DARKROOM_API_KEY="k")
    assert process.stdout.readline() == f"Listening: submit with webhook=http://127.0.0.1:{port}/\n"
    assert post(port, secret=SECRET) == 204
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d  0198-e  prediction  0198-p  succeeded  7  verified\n", process.stdout.readline()
    )
    assert post(port, secret=ANOTHER) == 401
    assert process.stdout.readline().endswith("  7  not verified: no matching signature found\n")
    process.send_signal(how)
    done = process.ended()
    assert done == Ended(0, "\n2 came, 1 of them verified.\n", "")


def test_with_a_given_secret_no_gateway_is_needed(command_forks: CommandForks, tmp_path: Path) -> None:
    port = free_port()
    process = listen(command_forks, port, "--secret", SECRET, home=tmp_path)
    process.stdout.readline()
    assert post(port, secret=SECRET) == 204
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.ended().stdout == "\n1 came, 1 of them verified.\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--secret", "whsec_A"], "That is not a secret"),
        (["--secret", "whsec_"], "That is not a secret"),
        ([], "nothing for you"),
    ],
)
def test_without_a_valid_secret_it_does_not_start_and_says_why(
    command_forks: CommandForks, gateway_url: str, tmp_path: Path, arguments: list[str], says: str
) -> None:
    process = listen(command_forks, free_port(), *arguments, home=tmp_path, DARKROOM_URL=gateway_url)
    done = process.ended()
    assert (done.stdout, done.returncode, done.stderr.count("\n")) == ("", 1, 1)
    assert says in done.stderr


def test_a_port_in_use_is_reported_in_one_line(command_forks: CommandForks, gateway_url: str, tmp_path: Path) -> None:
    port = gateway_url.rpartition(":")[2]
    process = listen(command_forks, int(port), "--secret", SECRET, home=tmp_path)
    done = process.ended()
    assert done == Ended(1, "", f"Port {port} can't be listened on: Address already in use\n")


def test_a_delivery_is_printed_in_one_line_however_long() -> None:
    console = Console(width=40, record=True)
    heard = Heard(console)
    assert heard.summary() == "Nothing came."
    heard.tell(Delivery("[red]e[/]", "prediction  " + "x" * 200, ""))
    heard.tell("refused with 413: Request Entity Too Large")
    first, second = console.export_text().splitlines()
    assert first.endswith(f"  [red]e[/]  prediction  {'x' * 200}  verified")
    assert second.endswith("  refused with 413: Request Entity Too Large")
    assert heard.summary() == "1 came, 1 of them verified."


def test_verified_deliveries_have_another_colour() -> None:
    styles = [
        {str(span.style) for span in line(what, time="12:00:00").spans}
        for what in (Delivery("e", "s", ""), Delivery("e", "s", "malformed"), "refused")
    ]
    assert styles == [{"dim", "green"}, {"dim", "red"}, {"dim", "yellow"}]
