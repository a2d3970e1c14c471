"""The demo model: a small CNN on scikit-learn's scanned handwritten digits, trained and registered as `digits`.

A fifth of the 1,797 scans is held out of training. It measures the accuracy and is written to a folder as PNG files,
for the demo and for people to try. The same seed gives the same split, images and (on one machine) weights.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version as package_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.models.register_once import register_once
from cli.registry import registry_client
from shared.domain.model_route import CHAMPION
from shared.registry.logged_models import ensure_registered_model

if TYPE_CHECKING:
    import numpy as np
    import torch
    from mlflow.tracking import MlflowClient
    from numpy.typing import NDArray

NAME = "digits"
SEED = 0
HELD_OUT = 360
SIDE = 32
LABELS = [str(digit) for digit in range(10)]
METADATA = {
    "image": {"resize_size": [SIDE], "crop_size": [SIDE], "mean": [0.5] * 3, "std": [0.5] * 3, "mode": "RGB"},
    "labels": LABELS,
}
# 30 epochs take two seconds and end between 0.986 and 0.997, whatever the seed.
TRAINING = {"epochs": 30, "batch_size": 64, "learning_rate": 0.004, "shift_pixels": 2, "seed": SEED}


@dataclass(frozen=True, slots=True)
class Trained:
    """The registered champion; `accuracy` is on the held-out images, None where its run has none."""

    version: str
    accuracy: float | None
    images: Path


@dataclass(frozen=True, slots=True)
class Scans:
    """Pixels (images, 32, 32, 3) in 0..255, labels (images,), and which of them are held out."""

    pixels: "NDArray[np.uint8]"
    labels: "NDArray[np.int64]"
    training: "NDArray[np.int64]"
    held_out: "NDArray[np.int64]"

    def sha256(self) -> str:
        """Return the digest of all data that training and evaluation use."""
        parts = (self.pixels, self.labels, self.training, self.held_out)
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


def ensure_registered(*, registry_url: str, folder: Path, progress: Callable[[str], None]) -> Trained:
    """Return `digits@champion`, trained and registered if there is none; its images are in `folder`.

    Safe to repeat, also after a kill at any line: `register_once` says why. Run twice at once it registers two
    versions, of which the later one serves.
    """
    client = registry_client(registry_url)
    images_there = len(list(folder.glob("[0-9]-[0-9]*.png"))) == HELD_OUT
    champion = _champion(client)
    if champion is None or not images_there:
        progress("reading 1,797 scanned digits")
        scans = read_scans()
        _write_images(scans, folder)
        if champion is None:
            champion = _register(client, scans, progress)
    accuracy = client.get_run(champion.run_id).data.metrics.get("accuracy") if champion.run_id else None
    return Trained(version=str(champion.version), accuracy=accuracy, images=folder)


def read_scans() -> Scans:
    """Return the scans as dark ink on white, 32x32 RGB, as a photograph would show them."""
    import numpy as np  # noqa: PLC0415  slow imports; the caller prints progress first
    from PIL import Image  # noqa: PLC0415
    from sklearn.datasets import load_digits  # noqa: PLC0415
    from sklearn.model_selection import train_test_split  # noqa: PLC0415

    found = load_digits()
    ink = np.round(255 - found.images * (255 / 16)).astype(np.uint8)
    large = [Image.fromarray(scan).resize((SIDE, SIDE), Image.Resampling.BICUBIC).convert("RGB") for scan in ink]
    training, held_out = train_test_split(
        np.arange(len(ink)), test_size=HELD_OUT, stratify=found.target, random_state=SEED
    )
    return Scans(np.stack([np.asarray(image) for image in large]), found.target, training, held_out)


def train(scans: Scans, progress: Callable[[str], None]) -> "torch.nn.Module":
    """Return the network, in evaluation mode, fitted to the training scans, each shifted by a few pixels."""
    import torch  # noqa: PLC0415
    from torch.nn import functional  # noqa: PLC0415

    epochs, batch, shift = TRAINING["epochs"], TRAINING["batch_size"], int(TRAINING["shift_pixels"])
    inputs, labels = _tensors(scans, scans.training)
    with torch.random.fork_rng(devices=[]), _one_thread():
        torch.manual_seed(SEED)
        model = _network()
        optimizer = torch.optim.AdamW(model.parameters(), lr=TRAINING["learning_rate"], weight_decay=0.01)
        steps = int(epochs) * -(-len(inputs) // int(batch))
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, TRAINING["learning_rate"], total_steps=steps)
        # White paper around, so that a shifted digit is not cut off by a grey edge.
        paper = functional.pad(inputs, (shift,) * 4, value=1.0)
        for epoch in range(1, int(epochs) + 1):
            for chosen in torch.split(torch.randperm(len(inputs)), int(batch)):
                left, top = (int(offset) for offset in torch.randint(0, 2 * shift + 1, (2,)))
                scores = model(paper[chosen, :, top : top + SIDE, left : left + SIDE])
                loss = functional.cross_entropy(scores, labels[chosen], label_smoothing=0.05)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
            if epoch % 10 == 0:
                progress(f"epoch {epoch} of {epochs}: loss {loss.item():.3f}")
    return model.eval()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep torch to one thread: more gain nothing on a network so small, and on busy cores wait for each other."""
    import torch  # noqa: PLC0415

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _network() -> "torch.nn.Module":
    """Two strided convolutions and a linear layer: 4 microseconds an image in a batch of 64 on one core."""
    from torch import nn  # noqa: PLC0415

    return nn.Sequential(
        nn.Conv2d(3, 8, kernel_size=4, stride=4),
        nn.ReLU(),
        nn.Conv2d(8, 16, kernel_size=3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 4 * 4, len(LABELS)),
    )


def _tensors(scans: Scans, chosen: "NDArray[np.int64]") -> "tuple[torch.Tensor, torch.Tensor]":
    """Return normalised inputs and labels, as METADATA tells the worker to make them."""
    import torch  # noqa: PLC0415

    inputs = torch.from_numpy(scans.pixels[chosen]).permute(0, 3, 1, 2).float() / 255
    return (inputs - 0.5) / 0.5, torch.from_numpy(scans.labels[chosen])


def _measure(model: "torch.nn.Module", scans: Scans) -> dict[str, float]:
    """Return accuracy and loss on the held-out images."""
    import torch  # noqa: PLC0415

    inputs, labels = _tensors(scans, scans.held_out)
    with torch.inference_mode():
        scores = model(inputs)
        loss = torch.nn.functional.cross_entropy(scores, labels)
    return {"accuracy": float((scores.argmax(dim=1) == labels).float().mean()), "loss": float(loss)}


def _champion(client: "MlflowClient") -> Any | None:
    """Return the version that the alias names; None where there is none."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    try:
        return client.get_model_version_by_alias(NAME, CHAMPION)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _register(client: "MlflowClient", scans: Scans, progress: Callable[[str], None]) -> Any:
    """Train the model, register it as the next version, and make it champion."""
    content = {**TRAINING, "data_sha256": scans.sha256(), "metadata": METADATA, "torch": package_version("torch")}
    ensure_registered_model(client, NAME, "Scanned handwritten digits, 0 to 9.")
    number, _ = register_once(client, NAME, content, partial(_log, scans, progress))
    client.set_registered_model_alias(NAME, CHAMPION, number)
    return client.get_model_version(NAME, number)


def _log(scans: Scans, progress: Callable[[str], None]) -> None:
    """Train the model and log it, with how it was trained, in the run that is active."""
    import mlflow.data.numpy_dataset  # noqa: PLC0415
    import mlflow.pytorch  # noqa: PLC0415
    from mlflow.models import infer_signature  # noqa: PLC0415

    progress(f"training a small CNN on {len(scans.training):,} of them")
    model = train(scans, progress)
    progress("registering it in MLflow")
    inputs, _ = _tensors(scans, scans.held_out[:2])
    example, scores = inputs.numpy(), model(inputs).detach().numpy()
    mlflow.log_params({**TRAINING, "held_out": HELD_OUT, "data_sha256": scans.sha256()})
    dataset = mlflow.data.numpy_dataset.from_numpy(scans.pixels, targets=scans.labels, name="sklearn load_digits")
    mlflow.log_input(dataset, context="training")
    logged = mlflow.pytorch.log_model(
        model,
        name="model",
        serialization_format="pt2",
        # An example of two: a dimension of one is exported as fixed, and the batch must stay free.
        input_example=example,
        signature=infer_signature(example, scores),
        metadata=METADATA,
        pip_requirements=["torch"],
    )
    mlflow.log_metrics(_measure(model, scans), model_id=logged.model_id)


def _write_images(scans: Scans, folder: Path) -> None:
    """Write the held-out images, label first: `7-0123.png` is scan 123 and shows a seven."""
    from PIL import Image  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    for index in scans.held_out:
        name = f"{scans.labels[index]}-{index:04d}.png"
        Image.fromarray(scans.pixels[index]).save(folder / name, optimize=True)
