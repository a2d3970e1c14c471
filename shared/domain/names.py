"""Names that strangers give their files, as they may be kept, written and shown."""

import re
from typing import Final

# JSON, Postgres or a terminal would choke on a control character or half a surrogate pair. A mark that turns the
# direction of writing shows another name than is there (`gnp.exe` as `exe.png`), and so does one that ends a line.
# What joins the parts of an emoji (U+200D) stays.
_UNSHOWABLE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff\ufff9-\ufffb]"
)


def showable(name: str) -> str:
    """Return a name without what can't be kept, breaks a line, or shows as another name."""
    return name if name.isprintable() else _UNSHOWABLE.sub("", name)
