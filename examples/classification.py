"""Registers EfficientNet-lite0 as `lite0` and has a photograph classified: see README.md."""

import sys
from pathlib import Path

import mlflow
from efficientnet import IMAGE, OPTIONS, trained
from stack import PHOTOGRAPH, serve
from torchvision.models import MobileNet_V3_Small_Weights

from darkroom_contract import contract

LABELS = MobileNet_V3_Small_Weights.DEFAULT.meta["categories"]  # ImageNet's, in the order of every such model

if __name__ == "__main__":
    metadata = contract(image=IMAGE, labels=LABELS)
    mlflow.pytorch.log_model(trained(), registered_model_name="lite0", metadata=metadata, **OPTIONS)
    serve("lite0", Path(sys.argv[1]) if len(sys.argv) > 1 else PHOTOGRAPH)
