import pytest

from shared.domain.identifiers import Digest
from shared.domain.keep_rule import NONE_KEPT, KeepRule, confidence_of, parse_keep_rule


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", NONE_KEPT),
        ("off", NONE_KEPT),
        (" OFF ", NONE_KEPT),
        ("all", KeepRule(share=1.0)),
        ("100%", KeepRule(share=1.0)),
        ("5%", KeepRule(share=0.05)),
        ("0.5 %", KeepRule(share=0.005)),
        ("below 0.6", KeepRule(below=0.6)),
        ("Below  1", KeepRule(below=1.0)),
        ("disagree", KeepRule(disagree=True)),
        ("5%, below 0.6, disagree", KeepRule(share=0.05, below=0.6, disagree=True)),
        ("disagree,below 0.6", KeepRule(below=0.6, disagree=True)),
    ],
)
def test_a_rule_is_read(text: str, rule: KeepRule) -> None:
    assert parse_keep_rule(text) == rule


@pytest.mark.parametrize(
    "text",
    [
        *("5", "0%", "101%", "-5%", "1e1%", "５%", "five percent", "%", "nan%", "inf%"),
        *("below", "below 0", "below 1.1", "below -1", "below 60%", "below nan", "under 0.6", "below0.6"),
        *("disagreement", "true", "on", "5% below 0.6", "5%,", ",", "5%,,disagree", "all, disagree", "off, 5%"),
        *("5%, 6%", "below 0.1, below 0.2", "disagree, disagree", '{"share": 0.05}', "5%\x00", "x" * 10_000),
    ],
)
def test_any_other_text_is_refused_with_the_grammar(text: str) -> None:
    with pytest.raises(ValueError, match="must be off, all, or any of") as refused:
        parse_keep_rule(text)
    assert len(str(refused.value)) < 300


def test_a_share_is_drawn_by_the_digest_and_about_as_large_as_it_says() -> None:
    rule = KeepRule(share=0.05)
    digests = [Digest(f"{number * 2654435761 % 2**32:08x}" * 8) for number in range(20_000)]
    drawn = [digest for digest in digests if rule.draws(digest)]
    assert 900 < len(drawn) < 1100
    assert drawn == [digest for digest in digests if rule.draws(digest)]
    assert all(KeepRule(share=1.0).draws(digest) for digest in digests)
    assert not any(NONE_KEPT.draws(digest) for digest in digests)


@pytest.mark.parametrize(
    ("output", "confidence"),
    [
        ({"predicted_class": "7", "confidence": 0.9}, 0.9),
        ({"detections": [{"label": "cat", "score": 0.9}, {"label": "dog", "score": 0.4}]}, 0.4),
        ({"detections": []}, None),
        ({"predicted_classes": ["a", "b"], "scores": {"a": 0.9, "b": 0.7, "c": 0.1}}, 0.7),
        ({"predicted_classes": [], "scores": {"a": 0.1}}, None),
        ({"confidence": "high"}, None),
        ({"embedding": [0.1]}, None),
        (3.5, None),
        (None, None),
    ],
)
def test_confidence_is_read_from_outputs_that_have_one(output: object, confidence: float | None) -> None:
    assert confidence_of(output) == confidence


def test_only_lower_confidences_are_below() -> None:
    assert KeepRule(below=0.5).is_below(0.49)
    assert not KeepRule(below=0.5).is_below(0.5)
    assert not KeepRule(below=0.5).is_below(None)
    assert not NONE_KEPT.is_below(0.0)
