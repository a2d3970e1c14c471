"""What all readers of headers raise."""


class BrokenImageError(Exception):
    """The file says it is an image of some kind, but is broken or asks for too much work; the message says how."""


class OtherKindError(BrokenImageError):
    """It begins like an image of some kind but is something else; the message says what."""
