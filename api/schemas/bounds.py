"""Bounds of fields: the OpenAPI document states them, and the code that reads or writes a field keeps to them."""

from typing import Final

LONGEST_TEXT: Final = 255
"""Characters of a submission's short texts, such as `model`."""
MOST_EVENTS: Final = 20
"""Names in `webhook_events_filter`. There are five events; repeating them is harmless, a million of them is not."""
MOST_SKIPPED_NAMES: Final = 100
"""Names in a batch's `skipped_files`."""
LONGEST_SKIPPED_NAME: Final = 255
"""Characters of such a name; a longer one loses its beginning."""
