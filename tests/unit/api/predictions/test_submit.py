"""What a submission's own headers may hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.predictions.submit import LONGEST_IDEMPOTENCY_KEY, asked_model, read_idempotency_key
from shared.domain.errors import InvalidParameter


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("8e03978e", "8e03978e"),
        ('"8e03978e"', "8e03978e"),
        (r'"a \"b\" \\ c"', r'a "b" \ c'),
        ('"', '"'),
        ("x" * 255, "x" * 255),
        ('"' + "x" * 255 + '"', "x" * 255),
    ],
)
def test_an_idempotency_key_may_be_quoted(header: str, key: str) -> None:
    assert read_idempotency_key(header) == key


@pytest.mark.parametrize("header", ["", " ", '""', "x" * 256])
def test_an_idempotency_key_of_nothing_or_too_much_is_refused_with_its_place(header: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        read_idempotency_key(header)
    assert refused.value.pointer == "Idempotency-Key"


@given(st.binary(max_size=300) | st.binary(max_size=20).map(lambda rest: b'"' + rest + b'"'))
def test_no_idempotency_key_raises_anything_else(header: bytes) -> None:
    try:
        assert 0 < len(read_idempotency_key(header.decode("latin-1"))) <= LONGEST_IDEMPOTENCY_KEY
    except InvalidParameter:
        return


def test_the_model_and_its_version_may_be_named_together() -> None:
    assert str(asked_model("digits", "darkroom/digits:3")) == "digits:3"
    assert str(asked_model("digits@champion", None)) == "digits@champion"
    assert str(asked_model(None, "3")) == ":3"
    with pytest.raises(InvalidParameter) as refused:
        asked_model("digits", "letters:3")
    assert refused.value.pointer == "/version"


@given(st.text(max_size=20), st.none() | st.text(max_size=20))
def test_no_model_and_version_raise_anything_else(model: str, version: str | None) -> None:
    try:
        asked_model(model, version or None)
    except InvalidParameter:
        return
