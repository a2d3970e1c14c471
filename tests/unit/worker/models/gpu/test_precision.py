"""What fp32 means on a GPU is said before each pass, whatever a model's code has made of torch's switches."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.deferred_imports import deferred
from worker.models.metadata.model_metadata import Precision

torch = deferred("torch")
precision = deferred("worker.models.gpu.precision")
pytestmark = pytest.mark.xdist_group("torch")


def _set(*path: str, to: object) -> Callable[[], None]:
    def change() -> None:
        place: Any = torch
        for name in path[:-1]:
            place = getattr(place, name)
        setattr(place, path[-1], to)

    return change


CHANGES = {
    "nothing": lambda: None,
    "matrix products of high speed": lambda: torch.set_float32_matmul_precision("medium"),
    "all in TF32": _set("backends", "fp32_precision", to="tf32"),
    "all exact": _set("backends", "fp32_precision", to="ieee"),
    "convolutions exact": _set("backends", "cudnn", "conv", "fp32_precision", to="ieee"),
    "recurrent layers exact": _set("backends", "cudnn", "rnn", "fp32_precision", to="ieee"),
    "products in TF32": _set("backends", "cuda", "matmul", "fp32_precision", to="tf32"),
}


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    torch.backends.fp32_precision = "none"
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = True, False


@pytest.mark.parametrize("change", CHANGES)
def test_every_pass_has_its_own_version_of_fp32(change: str) -> None:
    for wanted in (Precision.FP32, Precision.TF32, Precision.FP16, Precision.TF32):
        CHANGES[change]()
        precision.compute_fp32_as(wanted)
        name = "tf32" if wanted is Precision.TF32 else "ieee"
        assert torch.backends.cudnn.conv.fp32_precision == name
        assert torch.backends.cuda.matmul.fp32_precision == name
        assert torch.backends.cudnn.rnn.fp32_precision == name
        # As a model may read them.
        assert torch.backends.cudnn.allow_tf32 is torch.backends.cuda.matmul.allow_tf32 is (name == "tf32")
