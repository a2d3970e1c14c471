"""Timeouts of one connection, counted in samples taken once a second, so that no request sets a timer."""

from datetime import timedelta
from enum import Enum
from typing import Final

from shared.settings import Wire

PERIOD: Final = timedelta(seconds=1)


class Awaited(Enum):
    """What the connection waits for the client to send."""

    NOTHING = "nothing"
    FIRST_BYTE = "first byte"
    HEAD = "head"
    BODY = "body"
    OURSELVES = "ourselves"
    """The client can't send: the server has paused reading, or has not answered 100 Continue."""


class ConnectionTimeouts:
    """Timeout state of one connection, sampled each second; late samples never penalise a client."""

    __slots__ = ("_awaited", "_credit", "_limits", "_received", "_request", "_stuck", "_unread", "_waited")

    def __init__(self, limits: Wire) -> None:
        self._limits = limits
        self._awaited = Awaited.NOTHING
        self._request: object = None
        self._waited = self._stuck = timedelta(0)
        self._received = self._credit = self._unread = 0

    def is_over(self, awaited: Awaited, *, request: object, received: int) -> bool:
        """Take a sample, and tell whether the client is too slow.

        `request` is an object that identifies the request; `received` is the number of body bytes of the connection so
        far.
        """
        if awaited is Awaited.OURSELVES:
            self._received = received
            return False
        if awaited is not self._awaited or request is not self._request:
            self._awaited, self._request, self._received = awaited, request, received
            self._waited = timedelta(0)
            self._credit = self._full_credit()
            return False
        if awaited is Awaited.NOTHING:
            return False
        if awaited is Awaited.BODY:
            return self._body_is_late(received)
        self._waited += PERIOD
        return self._waited >= self._limits.head_timeout

    def _full_credit(self) -> int:
        return int(self._limits.body_rate * self._limits.body_patience.total_seconds())

    def _body_is_late(self, received: int) -> bool:
        """Take a second's bytes at the least rate from the credit, add what came, and tell whether none is left.

        Credit is capped at its start value: a client that was fast at first may not be slow for an hour.
        """
        came, self._received = received - self._received, received
        credit = self._credit + came - self._limits.body_rate * PERIOD // timedelta(seconds=1)
        self._credit = min(credit, self._full_credit())
        return self._credit <= 0

    def answer_is_stuck(self, unread: int) -> bool:
        """Take a sample of the bytes that wait to be sent, and tell whether none has left for too long."""
        self._stuck = self._stuck + PERIOD if unread and unread == self._unread else timedelta(0)
        self._unread = unread
        return self._stuck >= self._limits.answer_patience
