"""On a GPU an ONNX graph computes with CUDA where onnxruntime has it, on a CPU never, and the CPU comes last."""

from typing import Any

import pytest

from tests.support.deferred_imports import deferred

onnx = deferred("worker.models.flavours.onnx")
pytestmark = pytest.mark.xdist_group("torch")

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"

HEURISTIC = {"cudnn_conv_algo_search": "HEURISTIC"}


@pytest.mark.parametrize(
    ("about", "available", "device", "expected"),
    [
        ({}, [CUDA, CPU], "cuda", [(CUDA, HEURISTIC | {"device_id": 0}), CPU]),
        ({}, [CUDA, CPU], "cuda:1", [(CUDA, HEURISTIC | {"device_id": 1}), CPU]),
        ({}, [CUDA, CPU], "cpu", [CPU]),
        ({}, [CPU], "cuda", [CPU]),
        # As MLflow logs them where nothing is said.
        ({"providers": [CUDA, CPU]}, [CUDA, CPU], "cuda", [(CUDA, HEURISTIC | {"device_id": 0}), CPU]),
        ({"providers": [CUDA, CPU]}, [CUDA, CPU], "cpu", [CPU]),
        ({"providers": CPU}, [CUDA, CPU], "cuda", [CPU]),
        (
            {"providers": [[TENSORRT, {"trt_fp16_enable": True}], CUDA]},
            [TENSORRT, CUDA, CPU],
            "cuda",
            [(TENSORRT, {"device_id": 0, "trt_fp16_enable": True}), (CUDA, HEURISTIC | {"device_id": 0}), CPU],
        ),
        # What was logged goes before.
        (
            {"providers": [[CUDA, {"cudnn_conv_algo_search": "EXHAUSTIVE"}]]},
            [CUDA, CPU],
            "cuda",
            [(CUDA, {"device_id": 0, "cudnn_conv_algo_search": "EXHAUSTIVE"}), CPU],
        ),
        ({"providers": [TENSORRT, CUDA]}, [CUDA, CPU], "cuda", [(CUDA, HEURISTIC | {"device_id": 0}), CPU]),
    ],
)
def test_the_providers_fit_the_device(
    about: dict[str, Any], available: list[str], device: str, expected: list[Any]
) -> None:
    assert onnx._providers(about, available, device=device) == expected
