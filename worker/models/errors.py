"""What goes wrong with a model version: it can't be loaded, it is not what it says, or it needs too much memory."""


class ModelUnavailable(Exception):
    """A version can't be loaded; the message says why, in one line."""


class ModelError(Exception):
    """A version is not what its metadata says, or its scores can't be used."""


class OutOfMemory(Exception):
    """The device has too little memory for a micro-batch of this size."""
