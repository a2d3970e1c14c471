"""Every error says in a sentence what it means."""

import pytest

from shared.domain import errors

CLASSES = [
    found for found in vars(errors).values() if isinstance(found, type) and issubclass(found, errors.DarkroomError)
]


@pytest.mark.parametrize("found", CLASSES)
def test_an_error_is_described_in_a_sentence(found: type[errors.DarkroomError]) -> None:
    text = found.__doc__ or ""
    # A dataclass without a docstring gets its signature for one.
    assert not text.startswith(f"{found.__name__}(")
    assert len(text.split()) > 3
    assert text.strip().endswith(".")
