"""Which model a submission names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.uploads.submission_fields import asked_model
from shared.domain.errors import InvalidParameter


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
