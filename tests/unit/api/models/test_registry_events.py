import base64
import hashlib
import hmac
from typing import Any

import pytest

from api.models.registry_events import TOLERANCE_SECONDS, is_signed

SHARED = "s3cret"
BODY, NOW = b'{"entity": "model_version_alias"}', 1_795_792_116.5


def signature(secret: str = SHARED, *, id: str = "one", timestamp: str = "1795792116", body: bytes = BODY) -> str:
    signed = hmac.new(secret.encode(), f"{id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(signed).decode()


def test_an_event_is_known_by_its_signature() -> None:
    assert is_signed(BODY, "one", "1795792116", signature(), secret=SHARED, now=NOW)
    # As MLflow 3.17 sent it.
    body = (
        b'{"entity": "model_version_alias", "action": "created", "timestamp": "2026-11-27T15:08:36.652850+00:00", '
        b'"data": {"name": "m", "alias": "champion", "version": "1"}}'
    )
    sent = "v1,riL/okIIkwwcn3C0k1TH3adg0twVMqInwBm7y4mn66E="
    assert is_signed(body, "16a55f64-c1d1-497e-a81c-2fbe34428aff", "1795792116", sent, secret=SHARED, now=NOW)


@pytest.mark.parametrize(
    "changed",
    [
        {"body": BODY + b" "}, {"id": "two"}, {"id": "é"}, {"timestamp": "1795792117"}, {"timestamp": ""},
        {"timestamp": "9" * 5000}, {"timestamp": "²"}, {"timestamp": "-1"}, {"signature": ""}, {"signature": "v1,"},
        {"signature": signature("other")}, {"signature": signature()[3:]}, {"signature": "é"},
        {"signature": signature().replace("v1", "v2")}, {"now": NOW + TOLERANCE_SECONDS + 1},
        {"now": NOW - TOLERANCE_SECONDS - 1},
    ],
)  # fmt: skip
def test_an_event_that_was_changed_or_is_old_is_not(changed: dict[str, Any]) -> None:
    given = {
        "body": BODY,
        "id": "one",
        "timestamp": "1795792116",
        "signature": signature(),
        "secret": SHARED,
        "now": NOW,
    }
    assert not is_signed(**(given | changed))
