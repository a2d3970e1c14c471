"""Registers RapidOCR's text detector as `text`, which answers with a box for each line of text: see README.md.

Its ONNX graph gives a map of how likely each pixel is text. A PythonModel makes boxes of it.
"""

import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from stack import serve
from text_picture import drawn

from darkroom_contract import contract

SIZE = (736, 736)


class TextDetector(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Boxes of text lines, as torchvision's detectors give boxes."""

    def load_context(self, context: Any) -> None:
        """Open the graph; called once, where the version is loaded."""
        import onnxruntime  # noqa: PLC0415  what is pickled has no session

        self.session = onnxruntime.InferenceSession(context.artifacts["graph"], providers=["CPUExecutionProvider"])

    def predict(self, context, model_input: np.ndarray, params=None):  # type: ignore[no-untyped-def, type-arg, override]  # noqa: ANN001, ANN201, ARG002  MLflow reads hints as a schema
        """Return `boxes` (x0, y0, x1, y1), `scores` and `labels` for each of (images, 3, height, width)."""
        [maps] = self.session.run(None, {self.session.get_inputs()[0].name: model_input})
        return [self.lines(likely[0]) for likely in maps]

    def lines(self, likely: Any) -> dict[str, Any]:
        """Return the boxes of one map: those around connected pixels, widened as the detector was trained."""
        from scipy import ndimage  # noqa: PLC0415  what is pickled names no module of this script

        regions, _ = ndimage.label(likely > 0.3)  # noqa: PLR2004  the detector's own threshold
        boxes, scores = [], []
        for index, (rows, columns) in enumerate(ndimage.find_objects(regions), start=1):
            height, width = rows.stop - rows.start, columns.stop - columns.start
            if min(height, width) < 3:  # noqa: PLR2004  pixels: specks
                continue
            margin = 1.6 * width * height / (2 * (width + height))
            boxes.append([columns.start - margin, rows.start - margin, columns.stop + margin, rows.stop + margin])
            scores.append(float(likely[rows, columns][regions[rows, columns] == index].mean()))
        labels = np.zeros(len(boxes), np.int64)
        return {"boxes": np.array(boxes, np.float32).reshape(-1, 4), "scores": np.array(scores), "labels": labels}


if __name__ == "__main__":
    [package] = find_spec("rapidocr").submodule_search_locations  # type: ignore[misc, union-attr]
    [graph] = Path(package).glob("models/*_det_*.onnx")
    image = {"resize_size": list(SIZE), "mean": [0.5] * 3, "std": [0.5] * 3, "mode": "BGR"}
    mlflow.pyfunc.log_model(
        python_model=TextDetector(),
        artifacts={"graph": str(graph)},
        name="model",
        registered_model_name="text",
        metadata=contract(image=image, labels=["text"], task="detection"),
        pip_requirements=["onnxruntime", "scipy"],
    )
    with tempfile.TemporaryDirectory() as folder:
        serve("text", Path(sys.argv[1]) if len(sys.argv) > 1 else drawn(Path(folder)))
