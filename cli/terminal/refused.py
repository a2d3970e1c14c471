"""A command that can't be done."""


class Refused(SystemExit):
    """What was asked for can't be done, for a reason that is no mistake in the code: one line on stderr, exit 1."""
