"""What of a picture an ONNX graph fixes, and what is refused where it contradicts the command line."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli.models.architectures import image_of_graph, names_of_files_beside
from cli.terminal.refused import Refused


def value(name: str, *sizes: int) -> Any:
    shape = SimpleNamespace(dim=[SimpleNamespace(dim_value=size) for size in sizes])
    return SimpleNamespace(name=name, type=SimpleNamespace(tensor_type=SimpleNamespace(shape=shape)))


def found(*inputs: Any, size: tuple[int, int] | None = None, weights: tuple[str, ...] = (), **image: str) -> Any:
    graph = SimpleNamespace(input=inputs, initializer=[SimpleNamespace(name=one) for one in weights])
    return image_of_graph(graph, Path("m.onnx"), {"size": size, "image": image})


@pytest.mark.parametrize(
    ("sizes", "image"),
    [
        ((0, 3, 32, 48), {"resize_size": [32, 48], "mode": "RGB"}),
        ((1, 1, 28, 28), {"resize_size": [28, 28], "mode": "L"}),
        ((1, 224, 224, 3), {"resize_size": [224, 224], "mode": "RGB"}),
        ((1, 28, 28, 1), {"resize_size": [28, 28], "mode": "L"}),
        ((0, 28, 28), {"resize_size": [28, 28], "mode": "L"}),
        ((0, 3, 0, 0), {"mode": "RGB"}),
        ((0, 0, 32, 32), {"resize_size": [32, 32]}),
        ((0, 192), {}),
        ((), {}),
    ],
)
def test_size_and_channels_are_read_from_the_graph(sizes: tuple[int, ...], image: dict[str, Any]) -> None:
    assert found(value("x", *sizes)) == image


def test_weights_among_the_inputs_are_no_inputs() -> None:
    assert found(value("w", 8, 3, 3, 3), value("x", 1, 3, 32, 32), weights=("w",))["resize_size"] == [32, 32]


def test_the_size_may_be_said_where_it_is_the_graph_s_or_the_graph_leaves_it_open() -> None:
    assert found(value("x", 1, 3, 32, 48), size=(32, 48))["resize_size"] == [32, 48]
    assert "resize_size" not in found(value("x", 1, 3, 0, 0), size=(32, 48))
    assert found(value("x", 1, 3, 32, 48), mode="BGR")["mode"] == "RGB", "BGR has as many channels"


@pytest.mark.parametrize(
    ("inputs", "given", "why"),
    [
        ([], {}, "its inputs are none"),
        ([value("x", 1, 3, 8, 8), value("size", 2)], {}, "its inputs are x, size"),
        ([value("x", 1, 3, 32, 48)], {"size": (64, 64)}, "takes pictures of 32x48 .* not of 64x64"),
        ([value("x", 1, 3, 32, 32)], {"mode": "L"}, "three channels, which --mode L does not give"),
        ([value("x", 1, 1, 32, 32)], {"mode": "BGR"}, "one channel, which --mode BGR does not give"),
    ],
)
def test_what_contradicts_the_graph_is_refused(inputs: list[Any], given: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused, match=why):
        found(*inputs, **given)


def test_weights_beside_the_graph_are_found() -> None:
    """torch.onnx.export writes them so: the graph's own file is the same after another training."""
    places = [SimpleNamespace(key="location", value="m.onnx.data"), SimpleNamespace(key="offset", value="0")]
    initializer = [SimpleNamespace(external_data=places), SimpleNamespace(external_data=[])]
    assert names_of_files_beside(SimpleNamespace(initializer=initializer)) == ["m.onnx.data"]
