"""Names two pipelines of the other examples' models: a chain of conditions, and a detector whose boxes go on.

`classification.py`, `embedding.py` and `detection.py` have to have run: see README.md.
"""

import json
import tempfile
from pathlib import Path

from mlflow.tracking import MlflowClient
from stack import PHOTOGRAPH, ask
from text_picture import drawn

CATS = ["tabby", "tiger cat", "Persian cat", "Siamese cat", "Egyptian cat"]
PIPELINES = {
    # Only pictures of cats get a vector, for a search by likeness among cats.
    "cat-features": ("lite0", {"models": ["lite0"], "then": {"model": "lite0-features", "when": {"class": CATS}}}),
    # A vector for each line of text: by it lines in the same writing are found.
    "line-features": ("text", {"models": ["text"], "then": {"model": "lite0-features", "crop": True}}),
}


READ: float = 60
"""Seconds by which workers have surely read a tag, which takes them two; until then there is no such pipeline."""

if __name__ == "__main__":
    client = MlflowClient()
    for name, (model, definition) in PIPELINES.items():
        client.set_registered_model_tag(model, f"darkroom.pipeline.{name}", json.dumps(definition))
    with tempfile.TemporaryDirectory() as folder:
        ask("cat-features", PHOTOGRAPH, patience=READ)
        ask("line-features", drawn(Path(folder)), patience=READ)
