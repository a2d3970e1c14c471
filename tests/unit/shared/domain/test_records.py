"""Records: dataclasses that type checkers alone keep from being assigned to."""

from dataclasses import replace

import pytest

from shared.domain.records import record


@record()
class Point:
    """Two numbers."""

    x: int
    y: int = 0


@record(kw_only=True)
class Named:
    """A name and a number."""

    name: str = ""
    number: int


def test_equal_records_have_one_hash_and_are_changed_by_replace() -> None:
    point = Point(1, 2)
    assert point == Point(1, y=2) != replace(point, x=2) == Point(2, 2)
    assert {point, Point(1, 2), Point(2)} == {Point(2), point}


def test_a_record_takes_no_field_it_does_not_have() -> None:
    with pytest.raises(AttributeError):
        setattr(Point(1), "z", 3)  # noqa: B010  mypy would refuse the plain assignment


def test_fields_of_a_keyword_record_are_given_by_name() -> None:
    assert Named(number=3) == Named(name="", number=3)
    with pytest.raises(TypeError):
        Named("a", 3)
