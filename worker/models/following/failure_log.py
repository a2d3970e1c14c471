"""Logs a failure of following the registry when it begins and when it is over, not with every poll."""

import logging

log = logging.getLogger(__name__)


class FailureLog:
    """What goes wrong at the moment, as it was last logged."""

    def __init__(self) -> None:
        self._failure = ""

    def tell(self, failure: str, reason: str) -> None:
        """Log a failure by its event's name if it is new; an empty one says that it is over."""
        if failure == self._failure:
            return
        if failure:
            log.warning(failure, extra={"reason": reason})
        else:
            log.info("registry_followed_again")
        self._failure = failure
