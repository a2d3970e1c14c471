"""Trains `digits` again from pictures that people labelled, and lets the new version prove itself: see README.md."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import mlflow
import torch
from mlflow.tracking import MlflowClient
from torch import nn
from torchvision import transforms
from torchvision.datasets import ImageFolder

from darkroom_contract import contract

MODEL = "digits"
LABELS = [str(digit) for digit in range(10)]
IMAGE = {"resize_size": [32], "crop_size": [32], "mean": [0.5] * 3, "std": [0.5] * 3, "mode": "RGB"}
TERMS = ["--steps", "5,25,50,100", "--every", "10m", "--max-errors", "1%"]
_COMMAND = Path(sys.executable).with_name("darkroom")


def darkroom(*arguments: str) -> None:
    """Run the command, and end where it fails: it has said why."""
    if code := subprocess.run([_COMMAND, *arguments], check=False).returncode:
        raise SystemExit(code)


def trained(folder: Path, *, epochs: int) -> nn.Module:
    """Return a small network fitted to a folder of pictures by label."""
    read = transforms.Compose([transforms.Resize((32, 32)), transforms.ToTensor(), transforms.Normalize(0.5, 0.5)])
    found = ImageFolder(folder, transform=read)
    pixels = torch.stack([image for image, _ in found])
    # ImageFolder numbers the labels that there are; a folder's name is its label.
    targets = torch.tensor([LABELS.index(found.classes[index]) for index in found.targets])
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 4, stride=4), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(32 * 4 * 4, len(LABELS)),
    )  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.003)
    for _ in range(epochs):
        for chosen in torch.split(torch.randperm(len(pixels)), 32):
            loss = nn.functional.cross_entropy(model(pixels[chosen]), targets[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


def register(model: nn.Module, folder: Path, run: str) -> str:
    """Log the model in the run that has the set of pictures as its dataset; return the new version's number."""
    manifest = json.loads((folder / "manifest.json").read_text())
    with mlflow.start_run(run_id=run):
        mlflow.log_params({"pictures": len(manifest["pictures"]), "pictures_sha256": manifest["sha256"]})
        info = mlflow.pytorch.log_model(
            model,
            name="model",
            registered_model_name=MODEL,
            metadata=contract(image=IMAGE, labels=LABELS),
            serialization_format="pt2",
            # Two: a dimension of one would be exported as fixed.
            input_example=torch.zeros(2, 3, 32, 32).numpy(),
            pip_requirements=["torch"],
        )
    return str(info.registered_model_version)


def main() -> None:
    """Export, train, register, then shadow and canary unless told to stop before."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--since", default="7d")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--until", choices=("register", "shadow", "canary"), default="canary")
    # What is none of these goes to `darkroom models canary`.
    chosen, terms = parser.parse_known_args()

    client = MlflowClient()
    found = client.get_experiment_by_name(MODEL)
    experiment = found.experiment_id if found else client.create_experiment(MODEL)
    run = client.create_run(experiment, run_name="retrain").info.run_id
    darkroom("export", MODEL, "--labelled", "--since", chosen.since, "--out", str(chosen.data), "--mlflow-run", run)
    version = register(trained(chosen.data, epochs=chosen.epochs), chosen.data, run)
    sys.stdout.write(f"registered version {version}\n")
    if chosen.until != "register":
        darkroom("models", "shadow", MODEL, version, "--percent", "100")
    if chosen.until == "canary":
        darkroom("models", "canary", MODEL, version, *(terms or TERMS))


if __name__ == "__main__":
    main()
