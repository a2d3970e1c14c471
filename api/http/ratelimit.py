"""A key's limits and what is left of them, as headers (draft-ietf-httpapi-ratelimit-headers, version 10)."""

import math
from datetime import timedelta

from fastapi import Request

from api.state.gateway import Gateway
from api.state.large_work import LARGE
from shared.domain.api_keys import Caller
from shared.domain.key_limits import Limits, Remaining


def rate_limit_headers(limits: Limits, left: Remaining) -> dict[str, str]:
    """Return `RateLimit-Policy` and `RateLimit`; nothing for a key without limits.

    `images`: `q` at once, and as many in `w` seconds; `t` seconds until all are left again. `unfinished`: at a time.
    """
    policies, rests = [], []
    if left.images is not None:
        policies.append(f'"images";q={limits.burst};w={_seconds(limits.window)}')
        rests.append(f'"images";r={left.images};t={_seconds(left.until_all)}')
    if left.unfinished is not None:
        policies.append(f'"unfinished";q={limits.max_inflight}')
        rests.append(f'"unfinished";r={left.unfinished}')
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(rests)} if policies else {}


async def take_from_rate(gate: Gateway, caller: Caller) -> dict[str, str]:
    """Count one image against the caller's rate, for an upload that is no job; return headers. Raises RateLimited."""
    limits = caller.limits
    return rate_limit_headers(limits, await gate.producer.key_limits.take_one(limits))


async def refuse_early(request: Request, gate: Gateway, caller: Caller) -> None:
    """Raise RateLimited before a large body is read where the caller's key allows no image now; counts nothing.

    Not for small bodies, which cost less than this check, nor with an idempotency key: that may be a repeated request.
    """
    limits = caller.limits
    if not limits.rate and not limits.max_inflight:
        return
    headers = request.headers
    declared = headers.get("content-length", "")
    if (declared.isdecimal() and int(declared) < LARGE) or "idempotency-key" in headers:
        return
    await gate.producer.key_limits.check_limits(limits, caller.owner)


def _seconds(time: timedelta) -> int:
    return math.ceil(time.total_seconds())
