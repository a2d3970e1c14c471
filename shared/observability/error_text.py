"""What an error says, for a log line or a reason."""


def error_text(error: BaseException) -> str:
    """Return an error's text; the name of its class where it has none, as timeouts and lost connections often have."""
    return str(error) or type(error).__name__
