"""Forward passes on a GPU: each image its own scores, whatever runs beside it, as a graph or without."""

import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v3_small, resnet18

from shared.domain.image import ImageSpec
from worker.decode.preprocessing import decode
from worker.models.gpu.forward import GpuForward
from worker.models.gpu.jpegs import device_jpegs
from worker.models.gpu.precision import in_precision
from worker.models.metadata.model_metadata import Activation, Precision
from worker.models.outputs.readers import ScoresReader
from worker.models.reference_photographs import reference_photographs
from worker.process.exit_statuses import DEVICE_LOST_EXIT

SIDE = 64
SPEC = ImageSpec((72,), (SIDE,), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def network(make: Any = resnet18) -> nn.Module:
    torch.manual_seed(0)
    module: nn.Module = make(num_classes=10).eval()
    return module


def noise(count: int, *, seed: int = 0) -> list[Any]:
    return list(np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8))


def on_gpu(module: Any, precision: Precision = Precision.FP32, **options: Any) -> GpuForward:
    if isinstance(module, nn.Module):
        module = in_precision(module.to("cuda").to(memory_format=torch.channels_last), precision)
    return GpuForward(
        module,
        spec=SPEC,
        device="cuda",
        reader=ScoresReader(activation=Activation.SOFTMAX),
        precision=precision,
        **options,
    )


def expected(module: nn.Module, images: list[Any]) -> Any:
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).double() / 255
    mean, std = (torch.tensor(values).double().view(1, 3, 1, 1) for values in (SPEC.mean, SPEC.std))
    with torch.inference_mode():
        return module.cpu().double()((pixels - mean) / std).softmax(dim=1).numpy()


@pytest.mark.parametrize(
    ("precision", "tolerance"),
    [(Precision.FP32, 1e-5), (Precision.TF32, 5e-3), (Precision.FP16, 1e-2), (Precision.BF16, 5e-2)],
)
@pytest.mark.parametrize("make", [resnet18, mobilenet_v3_small])
def test_scores_are_those_of_float64_up_to_the_precision(make: Any, precision: Precision, tolerance: float) -> None:
    images = noise(7)
    forward = on_gpu(network(make), precision)
    eager = forward.outputs(images)
    forward.prepare(8)
    assert forward._graphs.largest == 8
    np.testing.assert_allclose(eager, expected(network(make), images), atol=tolerance)
    np.testing.assert_allclose(forward.outputs(images), eager, atol=tolerance / 10)


def test_every_size_and_many_threads_give_each_image_its_own_scores() -> None:
    images = noise(150)
    forward = on_gpu(network())
    alone = np.concatenate([forward.outputs([image]) for image in images])
    forward.prepare(48)
    assert forward._graphs.largest == 48
    wrong: list[str] = []

    def run(seed: int) -> None:
        random = np.random.default_rng(seed)
        for _ in range(60):
            numbers = random.permutation(len(images))[: random.integers(1, len(images))]
            mixed = [
                torch.from_numpy(images[n]).permute(2, 0, 1).cuda() if n % 3 == seed % 3 else images[n] for n in numbers
            ]
            if not np.allclose(forward.outputs(mixed), alone[numbers], atol=1e-5):
                wrong.append(f"{len(numbers)} images")

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_version_is_captured_while_another_one_decodes_and_serves() -> None:
    photographs, serving = reference_photographs()[:40], on_gpu(network())
    decoder = device_jpegs(SPEC, device="cuda", max_pixels=50_000_000)
    assert decoder is not None
    serving.prepare(64)
    exact = [decode(photograph, SPEC, max_pixels=50_000_000) for photograph in photographs]

    def scores() -> Any:
        found = decoder.decode(photographs)
        return serving.outputs([fast if fast is not None else slow for fast, slow in zip(found, exact, strict=True)])

    answer, failed, stop = scores(), list[str](), threading.Event()

    def serve() -> None:
        while not stop.is_set():
            try:
                if not np.allclose(scores(), answer, atol=1e-5):
                    failed.append("other scores")
            except Exception as error:  # noqa: BLE001  whatever it is, the test says so
                failed.append(repr(error))

    threads = [threading.Thread(target=serve) for _ in range(4)]
    for thread in threads:
        thread.start()
    captured = list[Any]()
    for _ in range(3):
        other = on_gpu(network(mobilenet_v3_small), Precision.FP16)
        other.prepare(64)
        captured.append(other._graphs.largest)
        assert other.outputs(exact[:3]).shape == (3, 10)
    stop.set()
    for thread in threads:
        thread.join()
    assert failed == []
    assert captured == [64, 64, 64]


def test_a_model_that_no_graph_can_hold_runs_without(caplog: pytest.LogCaptureFixture) -> None:
    module = network().cuda()

    def forward(batch: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = module(batch)
        return scores if scores.sum().item() > -1e9 else -scores  # waits for the device, which no graph can

    images = noise(5)
    one = on_gpu(forward)
    one.prepare(8)
    assert [record.getMessage() for record in caplog.records].count("graph_not_captured") == 1
    other = on_gpu(network())
    np.testing.assert_allclose(one.outputs(images), other.outputs(images), atol=1e-5)
    other.prepare(8)
    assert other._graphs.largest == 8


def test_a_capture_that_failed_keeps_no_other_version_from_its_graphs(caplog: pytest.LogCaptureFixture) -> None:
    module = network().cuda()

    def waits(batch: torch.Tensor) -> torch.Tensor:
        torch.cuda.current_stream().synchronize()  # as a library may, unseen by torch's operators
        scores: torch.Tensor = module(batch)
        return scores

    images = noise(5)
    one = on_gpu(waits)
    one.prepare(8)
    assert [record.getMessage() for record in caplog.records].count("graph_not_captured") == 1
    torch.cuda.empty_cache()  # raises where torch takes the capture for one under way
    other = on_gpu(network())
    other.prepare(8)
    assert other._graphs.largest == 8
    np.testing.assert_allclose(one.outputs(images), other.outputs(images), atol=1e-5)


def test_a_fixed_batch_size_is_filled_up() -> None:
    module = network()
    sizes: list[int] = []

    def forward(batch: torch.Tensor) -> torch.Tensor:
        sizes.append(len(batch))
        scores: torch.Tensor = module(batch)
        return scores

    images = noise(7)
    reference = on_gpu(module).outputs(images)
    fixed = on_gpu(forward, batch_size=4)
    np.testing.assert_allclose(fixed.outputs(images), reference, atol=1e-5)
    assert sizes == [4, 4]
    fixed.prepare(64)
    np.testing.assert_allclose(fixed.outputs(images), reference, atol=1e-5)


LOST = """
import numpy as np, torch
from tests.gpu.test_forward import noise, on_gpu
table = torch.zeros(4, 10, device="cuda")
forward = on_gpu(lambda batch: table[(batch[:, 0, 0, 0] > 0).long() * 1000])
forward.outputs([np.zeros_like(noise(1)[0])])
forward.outputs([np.full_like(noise(1)[0], 255)])
print("still here")
"""


def test_a_process_whose_device_is_lost_ends_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", LOST], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == DEVICE_LOST_EXIT, done.stderr[-2000:]
    assert "still here" not in done.stdout


def test_photographs_for_comparison_are_at_hand() -> None:
    assert len(reference_photographs()) >= 256
