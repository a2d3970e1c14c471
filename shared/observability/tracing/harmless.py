"""What making spans raises is logged, and goes no further."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


@contextmanager
def harmless() -> Iterator[None]:
    """Log what making spans raises, and go on: a span must not cost an image."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  whatever it is
        log.warning("not_traced", extra={"error": repr(error)[:300]})
