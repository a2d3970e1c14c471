"""Which tests share a running stack in one process of the run: what tests/conftest.py and their stack decide by."""

OF_THEIR_OWN = {"test_tracing.py": "traced stack"}
"""The groups of tests with a stack of their own."""
RESTARTING = (
    "test_command.py",
    "test_flower.py",
    "test_fuzz.py",  # it restarts nothing, and evens out the two groups
    "test_other_users.py",
    "test_second_stack.py",
    "test_stopping.py",
)
"""Tests that start the stack's processes anew, or a second stack: half of the time of all that use the running one."""
