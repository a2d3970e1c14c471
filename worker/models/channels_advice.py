"""What to write where a model takes images with another number of channels."""

from shared.domain.image import Mode


def channels_advice(wanted: int) -> str:
    """Return the end of a message, for a model that wants this number of channels."""
    modes = [mode for mode in Mode if mode.channels == wanted]
    if modes:
        return f": write mode {' or '.join(modes)} into `image`"
    return f": an image has 1 or 3 channels, and the model would have to make {wanted} of them"
