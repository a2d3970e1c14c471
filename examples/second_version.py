"""Registers another version of the demo model `digits`, trained on 300 scans only, so that there are two to compare."""

import sys
from dataclasses import replace

import mlflow

from cli.demo.digits import METADATA, NAME, read_scans, train

SCANS = 300

if __name__ == "__main__":
    scans = read_scans()
    few = replace(scans, training=scans.training[:SCANS])
    logged = mlflow.pytorch.log_model(
        train(few, print),
        name="model",
        registered_model_name=NAME,
        metadata=METADATA,
        serialization_format="pt2",
        # Two: a dimension of one would be exported as fixed.
        input_example=(scans.pixels[:2].transpose(0, 3, 1, 2) / 255).astype("float32"),
        pip_requirements=["torch"],
    )
    sys.stdout.write(f"registered version {logged.registered_model_version} of {NAME}\n")
