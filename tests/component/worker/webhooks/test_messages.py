"""Webhooks are signed as the Standard Webhooks libraries verify them."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from shared.domain.identifiers import ANYONE, DeliveryId, new_uuid7
from shared.storage.delivery_claims import Claimed
from shared.storage.webhook_secrets import new_secret
from tests.support.waiting import LIMIT
from worker.webhooks.messages import WebhookMessage

BODY = '{"id":"1","output":{"predicted_class":"sieben \\u2603 ☃"}}'.encode()


def letter(*secrets: str) -> WebhookMessage:
    subject = new_uuid7()
    delivery = Claimed(
        id=DeliveryId(new_uuid7()), owner=ANYONE, subject=subject, kind="prediction", event="completed",
        url="https://a.example", destination="https://a.example", attempts=0, body=None,
    )  # fmt: skip
    return WebhookMessage(delivery, BODY, secrets)


def test_the_library_verifies_only_what_was_just_signed() -> None:
    secret, other = new_secret(), new_secret()
    sent = letter(secret)
    headers = sent.headers(datetime.now(UTC))
    assert Webhook(secret).verify(BODY, headers) == orjson.loads(BODY)
    for wrong in (
        lambda: Webhook(other).verify(BODY, headers),
        lambda: Webhook(secret).verify(BODY + b" ", headers),
        lambda: Webhook(secret).verify(BODY, headers | {"webhook-id": "another"}),
        lambda: Webhook(secret).verify(BODY, sent.headers(datetime.now(UTC) - timedelta(minutes=6))),
    ):
        with pytest.raises(WebhookVerificationError):
            wrong()


def test_every_attempt_has_a_new_signature_and_the_same_id() -> None:
    sent = letter(new_secret())
    now = datetime(2026, 1, 31, 12, 0, 0, 999_999, UTC)
    first, second = sent.headers(now), sent.headers(now + timedelta(seconds=30))
    assert first["webhook-id"] == second["webhook-id"] == sent.delivery.id
    assert first["webhook-timestamp"] == "1769860800"
    assert first["webhook-signature"] != second["webhook-signature"]
    assert first["webhook-signature"].startswith("v1,")


def test_during_a_rotation_either_secret_verifies() -> None:
    newer, older = new_secret(), new_secret()
    headers = letter(newer, older).headers(datetime.now(UTC))
    assert len(headers["webhook-signature"].split(" ")) == 2
    for secret in (newer, older):
        Webhook(secret).verify(BODY, headers)


_RECEIVER = """
const { Webhook } = require("standardwebhooks");
const { secret, wrong, body, headers } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const found = new Webhook(secret).verify(body, headers);
let refused = false;
try { new Webhook(wrong).verify(body, headers); } catch { refused = true; }
console.log(JSON.stringify({ id: found.id, refused }));
"""


def test_the_node_library_verifies_it_too(tmp_path: Path) -> None:
    node, npm = (Path(sys.executable).with_name(name) for name in ("node", "npm"))
    install = [npm, "install", "--prefix", tmp_path, "--no-audit", "--no-fund", "--cache", tmp_path / "cache"]
    # It then trusts the machine's certificate authorities, as pip does.
    trusting = os.environ | {"NODE_OPTIONS": "--use-system-ca"}
    fetch = [*install, "standardwebhooks@1.0.0"]
    installed = subprocess.run(fetch, capture_output=True, text=True, check=False, timeout=LIMIT, env=trusting)
    if installed.returncode:
        pytest.skip(f"npm fetched nothing: {installed.stderr[-300:]}")
    newer, older = new_secret(), new_secret()
    task = {
        "secret": older, "wrong": new_secret(), "body": BODY.decode(),
        "headers": letter(newer, older).headers(datetime.now(UTC)),
    }  # fmt: skip
    done = subprocess.run(
        [node, "-e", _RECEIVER], cwd=tmp_path, input=orjson.dumps(task), capture_output=True, check=False, timeout=LIMIT
    )
    assert done.returncode == 0, done.stderr
    assert orjson.loads(done.stdout) == {"id": "1", "refused": True}
