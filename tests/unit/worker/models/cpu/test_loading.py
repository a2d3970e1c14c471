"""A version on a CPU is decoded fast only if it asks for that; then it says how far its scores agree."""

from typing import Any

import pytest

from tests.support.deferred_imports import deferred
from worker.decode.fast_decoder import FastDecoder
from worker.models.compute_mode import ChosenMode
from worker.models.metadata.model_metadata import Decode, ModelMetadata, Precision

torch = deferred("torch")
loading = deferred("worker.models.cpu.loading")
fast_decoder = deferred("worker.models.cpu.fast_decoder")
# One process runs them all: only that one imports torch.
pytestmark = pytest.mark.xdist_group("torch")

LABELS = ["red", "green", "blue"]


def put_on_cpu(**metadata: Any) -> tuple[FastDecoder | None, ChosenMode]:
    """Load a model whose scores are the mean of each channel."""
    image = {"resize_size": [64], "crop_size": [56]} | metadata.pop("image", {})
    found = loading.put_on_cpu(
        lambda batch: batch.mean(dim=(2, 3)) * 20,
        metadata=ModelMetadata.from_metadata({"image": image, "labels": LABELS} | metadata),
        batch_size=None,
        max_pixels=10_000_000,
    )
    return found.decoder, found.mode


@pytest.mark.parametrize("decode", ["auto", "exact"])
def test_a_version_is_decoded_exactly_unless_it_asks_for_fast(decode: str) -> None:
    assert put_on_cpu(decode=decode) == (None, ChosenMode(Decode.EXACT, Precision.FP32, None))


@pytest.mark.slow
def test_a_version_that_asks_for_fast_gets_it_and_says_how_far_its_scores_agree() -> None:
    if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        pytest.skip("this processor decodes exactly")
    decoder, mode = put_on_cpu(decode="fast", precision="fp16")
    assert isinstance(decoder, fast_decoder.CpuFastDecoder)
    assert (mode.decode, mode.precision) == (Decode.FAST, Precision.FP32)
    assert mode.agreement is not None
    assert mode.agreement.images <= loading.COMPARED
    assert mode.agreement.top1 > 0.95
    assert 0 < mode.agreement.largest_difference < 0.05


def test_a_filter_that_torch_lacks_is_decoded_exactly() -> None:
    image = {"interpolation": "lanczos"}
    assert put_on_cpu(decode="fast", image=image) == (None, ChosenMode(Decode.EXACT, Precision.FP32, None))
