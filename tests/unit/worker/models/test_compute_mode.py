"""Which decoding and precision are chosen, by what each costs in agreement, and after how many tries."""

import logging
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from shared.domain.model_route import Agreement
from worker.models.compute_mode import ChosenMode, choose_compute_mode
from worker.models.metadata.model_metadata import Decode, Precision

IMAGES = 400
"""Those compared; as many again, about which the model is in doubt, are computed and not compared."""
AUTO, EXACT, FAST = Decode
ANY, FP32, TF32, BF16, FP16 = Precision

Scores = np.ndarray[Any, np.dtype[np.float32]]


class Device:
    """Computes scores of a two-class model in each mode, some images' exchanged: `wrong` is how many, by part.

    What is doubtful is exchanged in every mode but the reference.
    """

    def __init__(self, wrong: dict[Decode | Precision, int], broken: dict[Decode | Precision, str]) -> None:
        self._wrong = wrong
        self._broken = broken
        self.tried: list[str] = []

    def scores(self, decode: Decode, precision: Precision) -> Scores:
        self.tried.append(f"{decode}+{precision}")
        reasons = [self._broken[part] for part in (decode, precision) if part in self._broken]
        if "raises" in reasons:
            raise RuntimeError("no kernel")
        scores = np.empty((2 * IMAGES, 2), np.float32)
        scores[0::4], scores[2::4], scores[1::2] = (0.75, 0.25), (0.25, 0.75), (0.53125, 0.46875)
        clear = np.arange(0, len(scores), 2)
        # Decoding differs in the first images, number formats in the last: together they differ in both.
        for part, rows in ((decode, clear), (precision, clear[::-1])):
            differing = rows[: self._wrong.get(part, 0)]
            scores[differing] = scores[differing][:, ::-1]
        if (decode, precision) != (EXACT, FP32):
            scores[1::2] = (0.46875, 0.53125)
        if "nan" in reasons:
            scores[clear[0]] = np.nan
        return scores


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a version asks for on which device, and what is chosen; `tried` are the modes computed after exact+fp32."""

    asks: tuple[Decode, Precision] = (AUTO, ANY)
    wrong: dict[Any, int] = field(default_factory=dict)
    broken: dict[Any, str] = field(default_factory=dict)
    chosen: tuple[Decode, Precision]
    top1: float | None
    tried: tuple[str, ...]


CASES = {
    "both agree": Case(wrong={FAST: 1, FP16: 1}, chosen=(FAST, FP16), top1=0.995, tried=("fast+fp16",)),
    "each agrees, together they do not": Case(
        wrong={FAST: 2, FP16: 2},
        chosen=(FAST, TF32),
        top1=0.995,
        tried=("fast+fp16", "fast+fp32", "fast+tf32"),
    ),
    "half precision loses too much": Case(
        wrong={FP16: 9, TF32: 2},
        chosen=(FAST, TF32),
        top1=0.995,
        tried=("fast+fp16", "fast+fp32", "fast+tf32"),
    ),
    "every lower precision loses too much": Case(
        wrong={FP16: 9, TF32: 3},
        chosen=(FAST, FP32),
        top1=1.0,
        tried=("fast+fp16", "fast+fp32", "fast+tf32"),
    ),
    "fast decoding loses too much": Case(
        wrong={FAST: 3, FP16: 1},
        chosen=(EXACT, FP16),
        top1=0.9975,
        tried=("fast+fp16", "fast+fp32", "exact+fp16"),
    ),
    "fast decoding and half precision lose too much": Case(
        wrong={FAST: 3, FP16: 4, TF32: 1},
        chosen=(EXACT, TF32),
        top1=0.9975,
        tried=("fast+fp16", "fast+fp32", "exact+fp16", "exact+tf32"),
    ),
    "everything loses too much": Case(
        wrong={FAST: 3, FP16: 4, TF32: 5},
        chosen=(EXACT, FP32),
        top1=None,
        tried=("fast+fp16", "fast+fp32", "exact+fp16", "exact+tf32"),
    ),
    "fp16 overflows": Case(
        wrong={BF16: 1}, broken={FP16: "nan"}, chosen=(FAST, BF16), top1=0.9975, tried=("fast+fp16", "fast+bf16")
    ),
    "nothing faster can be computed": Case(
        broken={FAST: "raises", FP16: "raises", BF16: "raises", TF32: "raises"},
        chosen=(EXACT, FP32),
        top1=None,
        tried=("fast+fp16", "fast+bf16", "fast+fp32", "exact+fp16", "exact+bf16", "exact+tf32"),
    ),
    "decoding alone is free, and agrees": Case(
        asks=(AUTO, FP32), wrong={FAST: 2}, chosen=(FAST, FP32), top1=0.995, tried=("fast+fp32",)
    ),
    "decoding alone is free, and loses too much": Case(
        asks=(AUTO, FP32), wrong={FAST: 3}, chosen=(EXACT, FP32), top1=None, tried=("fast+fp32",)
    ),
    "precision alone is free": Case(
        asks=(EXACT, ANY),
        wrong={FP16: 3, TF32: 1},
        chosen=(EXACT, TF32),
        top1=0.9975,
        tried=("exact+fp16", "exact+tf32"),
    ),
    "what is asked for is not judged": Case(
        asks=(FAST, FP16), wrong={FAST: 90, FP16: 10}, chosen=(FAST, FP16), top1=0.75, tried=("fast+fp16",)
    ),
    "precision is judged by the decoding that is asked for": Case(
        asks=(FAST, ANY),
        wrong={FAST: 100, FP16: 1},
        chosen=(FAST, FP16),
        top1=0.7475,
        tried=("fast+fp32", "fast+fp16"),
    ),
    "decoding is judged by the precision that is asked for": Case(
        asks=(AUTO, BF16),
        wrong={FAST: 3, BF16: 40},
        chosen=(EXACT, BF16),
        top1=0.9,
        tried=("exact+bf16", "fast+bf16"),
    ),
    "the decoding that is asked for can't be had": Case(
        asks=(FAST, ANY), broken={FAST: "raises"}, chosen=(EXACT, FP16), top1=1.0, tried=("fast+fp32", "exact+fp16")
    ),
    "the precision that is asked for can't be had": Case(
        asks=(FAST, BF16),
        wrong={FAST: 1},
        broken={BF16: "raises"},
        chosen=(FAST, FP32),
        top1=0.9975,
        tried=("fast+bf16", "fast+fp32"),
    ),
    "the precision that is asked for overflows": Case(
        asks=(EXACT, FP16), broken={FP16: "nan"}, chosen=(EXACT, FP32), top1=None, tried=("exact+fp16",)
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_fastest_mode_that_agrees_is_chosen(case: Case) -> None:
    device = Device(case.wrong, case.broken)
    chosen = choose_compute_mode(*case.asks, device.scores)
    assert (chosen.decode, chosen.precision) == case.chosen
    assert (chosen.agreement and chosen.agreement.top1) == case.top1
    assert device.tried == ["exact+fp32", *case.tried]


def test_a_version_that_may_lose_nothing_is_computed_without_a_comparison() -> None:
    device = Device({}, {})
    assert choose_compute_mode(EXACT, FP32, device.scores) == ChosenMode(EXACT, FP32, None)
    assert device.tried == []


def test_the_agreement_says_how_far_the_chosen_mode_is_from_exact_and_fp32() -> None:
    chosen = choose_compute_mode(AUTO, ANY, Device({FAST: 1}, {}).scores)
    assert chosen == ChosenMode(FAST, FP16, Agreement(images=IMAGES, top1=0.9975, largest_difference=0.5))


def test_one_line_says_what_auto_fell_back_to_and_the_figures_of_what_it_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    choose_compute_mode(AUTO, ANY, Device({FAST: 8, FP16: 4}, {}).scores)
    [line] = caplog.records
    assert (line.getMessage(), line.__dict__["decode"], line.__dict__["precision"]) == (
        "compute_mode_fell_back",
        "exact",
        "tf32",
    )
    assert [(refused["decode"], refused["precision"], refused["top1"]) for refused in line.__dict__["refused"]] == [
        ("fast", "fp16", 0.97),
        ("fast", "fp32", 0.98),
        ("exact", "fp16", 0.99),
    ]


def test_each_mode_that_fails_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    choose_compute_mode(AUTO, FP32, Device({}, {FAST: "raises"}).scores)
    [line] = caplog.records
    assert (line.getMessage(), line.__dict__["decode"]) == ("compute_mode_failed", "fast")
    assert "no kernel" in line.__dict__["reason"]


def raising(decode: Decode, precision: Precision) -> Scores:
    raise ValueError(f"no photographs please, {decode} or {precision}")


def one_label(decode: Decode, _: Precision) -> Scores:
    return np.linspace(0, 1 if decode is EXACT else 0.5, IMAGES, dtype=np.float32)[:, np.newaxis]


def constant(_: Decode, __: Precision) -> Scores:
    return np.tile(np.array([[0.75, 0.25]], np.float32), (IMAGES, 1))


def shapeless(_: Decode, __: Precision) -> Scores:
    return np.zeros((IMAGES, 2, 7), np.float32)


@pytest.mark.parametrize(
    ("model", "reason"),
    [(raising, "no photographs"), (one_label, "one label"), (constant, "the same"), (shapeless, "shape")],
)
def test_a_model_that_photographs_say_nothing_of_stays_exact(
    model: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert choose_compute_mode(AUTO, ANY, model) == ChosenMode(EXACT, FP32, None)
    [line] = caplog.records
    assert line.getMessage() == "compute_mode_not_compared"
    assert reason in line.__dict__["reason"]


def test_a_model_that_photographs_say_nothing_of_gets_what_it_asks_for() -> None:
    assert choose_compute_mode(FAST, ANY, raising) == ChosenMode(FAST, FP32, None)
    assert choose_compute_mode(FAST, FP16, raising) == ChosenMode(FAST, FP16, None)
    assert choose_compute_mode(FAST, FP16, one_label) == ChosenMode(
        FAST, FP16, Agreement(images=IMAGES, top1=1.0, largest_difference=0.5)
    )
