"""Folded normalisations give the scores that they gave before, and what can't be folded stays as it is."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.deferred_imports import deferred

from .conftest import IMAGE, LABELS, SIDE, apart

torch = deferred("torch")
batch_norms = deferred("worker.models.flavours.batch_norms")
pytestmark = pytest.mark.xdist_group("torch")


def trained(module: Any) -> Any:
    """Give normalisations the constants that training leaves, far from those they begin with."""
    torch.manual_seed(1)
    with torch.no_grad():
        for one in module.modules():
            if isinstance(one, torch.nn.modules.batchnorm._BatchNorm) and one.running_mean is not None:
                one.running_mean.normal_()
                one.running_var.uniform_(0.001, 4)
                if one.affine:
                    one.weight.normal_()
                    one.bias.normal_()
    return module.eval()


def graph_of(module: Any, *shape: int) -> Any:
    return torch.export.export(module, (torch.randn(2, *shape),)).module()


def networks() -> dict[str, tuple[Any, tuple[int, ...], int]]:
    """Return networks of one convolution each: with their input's shape, and how many normalisations are folded."""
    nn = torch.nn

    class ReadTwice(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.normalisation = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def forward(self, batch: Any) -> Any:
            values = self.convolution(batch)
            return self.normalisation(values) + values

    class SharedWeight(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.first, self.second = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3), nn.BatchNorm2d(3)

        def forward(self, batch: Any) -> Any:
            return self.second(self.convolution(self.first(self.convolution(batch))))

    image = (3, 8, 9)
    return {
        "plain": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), image, 1),
        "no bias": (nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True)), image, 1),
        "no constants of its own": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False)), image, 1),
        "large eps": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, eps=0.5)), image, 1),
        "groups": (nn.Sequential(nn.Conv2d(3, 6, 3, groups=3, stride=2), nn.BatchNorm2d(6)), image, 1),
        "padding by name": (nn.Sequential(nn.Conv2d(3, 4, 3, padding="same"), nn.BatchNorm2d(4)), image, 1),
        "one dimension": (nn.Sequential(nn.Conv1d(3, 4, 3, dilation=2), nn.BatchNorm1d(4)), (3, 12), 1),
        "three dimensions": (nn.Sequential(nn.Conv3d(1, 2, 2), nn.BatchNorm3d(2)), (1, 4, 4, 4), 1),
        "one weight in two convolutions": (SharedWeight(), image, 2),
        "read elsewhere": (ReadTwice(), image, 0),
        "after another layer": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)), image, 0),
        "before the convolution": (nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3)), image, 0),
        "transposed": (nn.Sequential(nn.ConvTranspose2d(3, 4, 3), nn.BatchNorm2d(4)), image, 0),
        "counts while it runs": (
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)), image, 0,
        ),
        "float64": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).double(), image, 0),
    }  # fmt: skip


NETWORKS = (
    "plain", "no bias", "no constants of its own", "large eps", "groups", "padding by name", "one dimension",
    "three dimensions", "one weight in two convolutions", "read elsewhere", "after another layer",
    "before the convolution", "transposed", "counts while it runs", "float64",
)  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_scores_are_what_they_were_but_for_rounding(name: str) -> None:
    network, shape, folds = networks()[name]
    batch = torch.randn(2, *shape, generator=torch.Generator().manual_seed(3))
    batch = batch.to(next(network.parameters()).dtype)
    graph = torch.export.export(trained(network), (batch,)).module()
    with torch.inference_mode():
        before = graph.forward(batch)
    assert batch_norms.fold_batch_norms(graph) == folds
    with torch.inference_mode():
        after, exact = graph.forward(batch), network.double()(batch.double())
    assert ("aten.batch_norm" in graph.code) == (folds == 0)
    # Sums of up to 27 products of numbers around 1, in float32: nearly as near to the exact ones as before.
    assert (after - exact).abs().max() <= 2 * (before - exact).abs().max() + 1e-5 * bool(folds)


def test_every_network_is_tried() -> None:
    assert tuple(networks()) == NETWORKS


def test_what_is_not_read_any_more_is_let_go() -> None:
    network = trained(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)))
    graph = graph_of(network, 3, 8, 8)
    batch_norms.fold_batch_norms(graph)
    assert sorted(tuple(one.shape) for one in (*graph.parameters(), *graph.buffers())) == [(4,), (4, 3, 3, 3)]


def test_a_network_exported_in_training_is_left() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).train()
    graph = graph_of(network, 3, 8, 8)
    assert batch_norms.fold_batch_norms(graph) == 0


def test_what_would_become_infinite_is_left() -> None:
    network = trained(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)))
    with torch.no_grad():
        network[0].weight.fill_(1e30)
        network[1].weight.fill_(1e30)
    assert batch_norms.fold_batch_norms(graph_of(network, 3, 8, 8)) == 0


@pytest.mark.slow
def test_a_worker_folds_and_answers_as_the_module_does(tmp_path: Path, load: Any, images: Any, batch: Any) -> None:
    mlflow = deferred("mlflow")
    nn = torch.nn
    layers = (nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(36, len(LABELS)))
    module = trained(nn.Sequential(*layers))
    mlflow.pytorch.save_model(
        module, str(tmp_path / "model"), serialization_format="pt2", pip_requirements=["torch"],
        metadata={"image": {**IMAGE, "crop_size": SIDE}, "labels": LABELS}, input_example=batch.numpy(),
    )  # fmt: skip
    served = load(tmp_path / "model")
    with torch.inference_mode():
        wanted = module(batch).softmax(1)
    assert apart(served.predict(images), wanted) <= 1e-6
    assert served.memory_bytes == sum(one.nbytes for layer in (layers[0], layers[4]) for one in layer.parameters())
