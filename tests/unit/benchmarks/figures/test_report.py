import orjson
import pytest

from benchmarks.figures.report import Figure, Goal, Section, as_json, written
from benchmarks.order_statistics import percentile


@pytest.mark.parametrize(
    ("goal", "value", "reached"),
    [
        (Goal(at_least=3000), 3000, True),
        (Goal(at_least=3000), 2999.9, False),
        (Goal(at_most=0.5), 0.5, True),
        (Goal(at_most=0.5), 0.51, False),
        (Goal(at_least=0.9, at_most=1.1), 1.2, False),
    ],
)
def test_a_goal_is_reached_at_its_bound(goal: Goal, value: float, *, reached: bool) -> None:
    assert Figure(name="speed", value=value, unit="", goal=goal).reached is reached


def test_the_report_file_says_whether_each_goal_was_reached() -> None:
    figures = [Figure(name="a", value=1, unit="s"), Figure(name="b", value=2, unit="s", goal=Goal(at_most=1))]
    content = orjson.loads(as_json(machine={}, settings={}, sections=[Section(title="all", figures=figures)]))
    assert [figure["reached"] for figure in content["sections"][0]["figures"]] == [None, False]


def test_the_99th_percentile_is_the_value_99_in_100_do_not_exceed() -> None:
    assert percentile(range(1, 101), 0.99) == 99
    assert percentile(range(1, 101), 0.50) == 50
    assert percentile([7.0], 0.99) == 7.0


@pytest.mark.parametrize(("value", "words"), [(3370.4, "3,370"), (0.4963, "0.496"), (12.34, "12.3"), (0.0, "0")])
def test_numbers_are_written_to_three_digits(value: float, words: str) -> None:
    assert written(value) == words
