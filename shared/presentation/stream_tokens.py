"""Short-lived tokens in the URLs of event streams: Replicate's clients send no API key there."""

import re
import time
from datetime import timedelta
from hashlib import blake2b
from hmac import compare_digest
from typing import Final

from shared.domain.identifiers import BatchId, PredictionId

STREAM_TOKEN_LIFE = timedelta(hours=1)
_DIGEST_BYTES: Final = 18
# Checked before `int` reads the expiry, which raises for a number of 5,000 digits.
_FORM: Final = re.compile(r"([0-9]{1,12})\.([0-9a-f]{36})")


class StreamTokens:
    """Makes and checks the tokens of `urls.stream`: `<expiry>.<MAC of id and expiry>`."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(self, id: PredictionId | BatchId) -> str:
        """Return a token for one stream. It stays the same for 15 minutes, so that repeated answers are equal."""
        quarter = int(STREAM_TOKEN_LIFE.total_seconds()) // 4
        expiry = (int(time.time()) // quarter + 5) * quarter
        return f"{expiry}.{self._digest(id, expiry)}"

    def allows(self, id: PredictionId | BatchId, token: str) -> bool:
        """Tell whether the token was made by `sign` for this id and has not expired."""
        found = _FORM.fullmatch(token)
        if found is None or int(found[1]) < time.time():
            return False
        return compare_digest(found[2], self._digest(id, int(found[1])))

    def _digest(self, id: PredictionId | BatchId, expiry: int) -> str:
        # BLAKE2's keyed mode is a MAC of its own (RFC 7693, section 2.9), at a third of HMAC's cost for short texts.
        return blake2b(f"{id}.{expiry}".encode(), key=self._secret, digest_size=_DIGEST_BYTES).hexdigest()
