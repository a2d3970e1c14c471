"""The process that measures ceilings: `python -m benchmarks.gpu.ceilings SECONDS FOLDER NAME...`, a JSON line a figure.

A name is one of those that `names` gives. One that fails says why in its line, and the next is measured.
"""

import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import orjson
import torch

from benchmarks.figures.report import Figure
from benchmarks.gpu.architectures import architecture
from benchmarks.gpu.ceilings.bare_loop import measure_bare_loop
from benchmarks.gpu.ceilings.decoding import measure_nvjpeg, measure_pillow
from benchmarks.gpu.ceilings.forward import measure_forward
from benchmarks.gpu.ceilings.plan import NVJPEG, PILLOW
from benchmarks.gpu.subjects import MODELS, image_file
from benchmarks.load import image_files


def main() -> None:
    """Measure what is named, one after the other."""
    seconds, folder = float(sys.argv[1]), Path(sys.argv[2])
    images = image_files.read(image_file(folder, MODELS[0]))
    for name in sys.argv[3:]:
        try:
            for figure in _figures(name, images, seconds):
                _say({"of": name, "figure": asdict(figure)})
        except Exception as error:  # noqa: BLE001  whatever a driver raises: the next one may go
            _say({"of": name, "failed": f"{type(error).__name__}: {error}"[:1000]})
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        _say({"of": name, "done": True})


def _figures(name: str, images: list[bytes], seconds: float) -> Iterator[Figure]:
    kind, _, model = name.partition(":")
    preset = architecture(model or MODELS[0]).preset
    if kind == PILLOW:
        return measure_pillow(images, preset, seconds=seconds)
    if kind == NVJPEG:
        return measure_nvjpeg(images, preset, seconds=seconds)
    if kind == "loop":
        return measure_bare_loop(model, images, seconds=seconds)
    return measure_forward(model, seconds=seconds)


def _say(line: dict[str, object]) -> None:
    sys.stdout.buffer.write(orjson.dumps(line) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
