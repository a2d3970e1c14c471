"""Terms of a canary as people write them."""

import pytest
import typer

from cli.models.canary_terms import read_terms
from shared.domain.canary_changes import CanaryTerms


def test_the_usual_terms() -> None:
    assert read_terms(
        "5,25,50,100", "10m", "1%", "1.5x", min_agreement="97%", min_images=100, patience="1d"
    ) == CanaryTerms(
        steps=(5, 25, 50, 100),
        every=600.0,
        max_errors=0.01,
        max_p99=1.5,
        min_agreement=0.97,
        min_images=100,
        patience=86_400.0,
    )
    assert read_terms("100", "2s", "0.5", "3", min_agreement=None, min_images=1, patience="5m").max_errors == 0.5


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": "5,25"}, {"steps": "50,25,100"}, {"steps": "5,5,100"}, {"steps": ""}, {"steps": "a"},
        {"steps": "0,100"},
        {"every": "10"}, {"every": "0s"},
{"patience": "0s"}, {"patience": "long"},
 {"max_errors": "101%"}, {"max_errors": "x"}, {"max_errors": "-1%"},
        {"max_p99": "0x"}, {"max_p99": "fast"}, {"max_p99": "nan"}, {"min_agreement": "2"},
        {"min_agreement": "101%"},
    ],
)  # fmt: skip
def test_wrong_terms_say_what_is_wrong(wrong: dict[str, str]) -> None:
    given = {
        "steps": "5,100",
        "every": "10m",
        "max_errors": "1%",
        "max_p99": "1.5x",
        "min_agreement": "0.9",
        "patience": "1d",
    } | wrong
    [name] = wrong
    with pytest.raises(typer.BadParameter, match=f"--{name.replace('_', '-')}"):
        read_terms(
            given["steps"],
            given["every"],
            given["max_errors"],
            given["max_p99"],
            min_agreement=given["min_agreement"],
            min_images=1,
            patience=given["patience"],
        )
