"""Who calls: until API keys are in use everybody is one owner. Stream URLs carry a short-lived token of their own."""

import base64
import hashlib
import hmac
import time
from datetime import timedelta

from fastapi import Request

from shared.domain.identifiers import ANYONE, Owner, PredictionId

STREAM_TOKEN_LIFE = timedelta(hours=1)


def caller(request: Request) -> Owner:  # noqa: ARG001  the key it carries will say who it is
    """Return the owner of what this request touches."""
    return ANYONE


class StreamTokens:
    """Tokens for `urls.stream`: `<expiry>.<HMAC-SHA256 of id and expiry>`, since clients send no key there."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(self, id: PredictionId) -> str:
        """Return a token for one prediction's stream; the same for a quarter of its life, so that answers repeat."""
        quarter = int(STREAM_TOKEN_LIFE.total_seconds()) // 4
        expiry = (int(time.time()) // quarter + 5) * quarter
        return f"{expiry}.{self._digest(id, expiry)}"

    def allows(self, id: PredictionId, token: str) -> bool:
        """Tell whether the token is ours, for this prediction, and still good."""
        expiry, _, digest = token.partition(".")
        if not (expiry.isascii() and expiry.isdigit()) or int(expiry) < time.time():
            return False
        return hmac.compare_digest(digest.encode(), self._digest(id, int(expiry)).encode())

    def _digest(self, id: PredictionId, expiry: int) -> str:
        digest = hmac.digest(self._secret, f"{id}.{expiry}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest[:18]).decode()
