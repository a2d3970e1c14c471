"""Tries a model version as a worker would: `python -m worker.models.check URI [--image FILE]`, started by the command.

It loads the version, warms it up, computes photographs and the image that is given, and prints what it found. It exits
with 1 and the reason where a worker could not serve it. `URI` is one of MLflow's, or a folder that has an `MLmodel`.

What was found is all that standard output gets. Whatever libraries print meanwhile, progress bars and warnings of C++
too, goes to standard error, which the command shows where the check fails.
"""

import argparse
import faulthandler
import logging
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from shared import settings
from shared.domain.identifiers import ModelName, VersionNumber
from shared.domain.image import LARGEST_INPUT
from shared.domain.written_numbers import written
from shared.observability.printable import printable
from worker.decode.image_loading import Undecodable
from worker.decode.preprocessing import decode, decode_sized
from worker.models.devices import choose_device, device_memory, is_gpu
from worker.models.failure_text import failure_text
from worker.models.loaded_model import LoadedModel
from worker.models.loading import load
from worker.models.metadata.model_metadata import NO_TAGS
from worker.models.missing_packages import missing_module
from worker.models.own_outputs import find_fault
from worker.models.reference_photographs import reference_photographs
from worker.models.registry.registry_reader import RegistryReader
from worker.models.registry.serving_tags import Tuning, read_tuning

PHOTOGRAPHS: Final = 64
"""Photographs that the speed is measured with, at most."""
ALONE: Final = 8
"""Photographs that are computed alone too, at most: their outputs have to be the same."""
LONGEST_MEASURE: Final = 10
"""Seconds that a pass over them may take: a model that is slow, but would be served, has fewer."""
PACKAGE_MISSING: Final = 3
"""Exit status where the reason is a module that can't be imported."""
MOST_LABELS: Final = 8
LONGEST_OUTPUT: Final = 2000
"""Characters of the output that are printed: an embedding or a mask is longer."""
_VERSION: Final = re.compile(r"models:/(?P<name>[^/@]+)/(?P<number>\d+)")


@dataclass(frozen=True, slots=True)
class Found:
    """What was measured of a version. Seconds; `megabytes` is by how much the process grew, or what the GPU holds."""

    model: LoadedModel
    loading: float
    warming: float
    megabytes: float
    one_at_a_time: float
    many_at_a_time: float
    batch: int
    """Images of the largest micro-batch that a worker would compute with it."""
    limit: float
    """Seconds that one may take."""
    same_for_all: bool
    """Whether the photographs, which show different things, all have the same output."""
    fault: str
    """Why an image's output is not that image's alone; an empty text where it is."""


def main(words: Sequence[str], told: TextIO) -> None:
    """Check the version that the command line names and tell what was found.

    Exits with 1 or PACKAGE_MISSING where it can't be served.
    """
    parser = argparse.ArgumentParser(prog="worker.models.check", description="Try a model version as a worker would.")
    parser.add_argument("uri")
    parser.add_argument("--image", type=Path)
    given = parser.parse_args(words)
    # MLflow warns on its way of whatever it finds; what matters is told below.
    logging.disable(logging.WARNING)
    image = _read(given.image) if given.image else None
    try:
        found = check_version(given.uri)
        output = _output(found.model, image) if image is not None else ""
    except Undecodable as error:
        raise SystemExit(f"{given.image} can't be decoded: {error}") from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  a model is code, and may raise anything, or exit
        sys.stderr.write(f"A worker could not serve {given.uri}: {printable(failure_text(error))}\n")
        raise SystemExit(PACKAGE_MISSING if missing_module(error) is not None else 1) from None
    told.writelines(f"{name:<10} {printable(text)}\n" for name, text in _lines(given.uri, found, output))
    told.write("A worker would serve it.\n")


def check_version(uri: str) -> Found:
    """Load a version, warm it up and compute photographs with it; raises what a worker would log as the reason."""
    registry, predict = settings.read(settings.Registry), settings.read(settings.Predict)
    batching, max_pixels = settings.read(settings.Batching), settings.read(settings.Intake).max_image_pixels
    device = choose_device(predict.device)
    tags = NO_TAGS
    if version := _VERSION.fullmatch(uri):
        reader, name = RegistryReader(registry), ModelName(version["name"])
        candidate = reader.ready_version(name, VersionNumber(version["number"]))
        uri, tags = reader.uri(name, candidate), candidate.tags
    usual = Tuning(
        max_batch_size=batching.max_batch_size,
        max_wait=batching.max_wait,
        beside_people=batching.beside_people,
        timeout=predict.timeout,
    )
    tuning, _ = read_tuning(tags, usual=usual)
    before, began = _megabytes(device), time.monotonic()
    model = load(uri, registry=registry, device=device, threads=predict.torch_threads, max_pixels=max_pixels, tags=tags)
    loaded = time.monotonic()
    model.warm_up(batching.max_batch_size)
    warm = time.monotonic()
    height, width = model.spec.input_size or (1, 1)
    count = min(PHOTOGRAPHS, batching.max_batch_size, max(1, LARGEST_INPUT // (height * width)))
    photographs = [_decoded(model, one, max_pixels=max_pixels) for one in reference_photographs()[:count]]
    one, _ = _timed(model, photographs[:1])
    photographs = photographs[: max(2, int(LONGEST_MEASURE / one))]
    many, outputs = _timed(model, photographs)
    different = list({output: place for place, output in reversed([*enumerate(outputs)])}.values())
    few = sorted(different)[: max(1, min(ALONE, int(LONGEST_MEASURE / one / 2)))]
    return Found(
        model=model,
        loading=loaded - began,
        warming=warm - loaded,
        megabytes=_megabytes(device) - before,
        one_at_a_time=one,
        many_at_a_time=many / len(photographs),
        batch=min(tuning.max_batch_size, model.enough or tuning.max_batch_size),
        limit=tuning.timeout.total_seconds(),
        same_for_all=len(set(outputs)) == 1 < len(outputs),
        fault=find_fault(
            lambda image: _usable(model.predict([image])[0]), [photographs[n] for n in few], [outputs[n] for n in few]
        ),
    )


def _timed(model: LoadedModel, images: Sequence[object]) -> tuple[float, list[bytes]]:
    """Return the seconds of the faster of two passes over the images, and their outputs; raises that of a bad one."""
    seconds: list[float] = []
    outputs: list[bytes] = []
    for _ in range(2):
        began = time.perf_counter()
        found = model.predict(images)
        seconds.append(time.perf_counter() - began)
        outputs = [_usable(output) for output in found]
    return min(seconds), outputs


def _usable(output: bytes | Exception) -> bytes:
    """Return an image's output; raises the error that the image has instead."""
    if isinstance(output, Exception):
        raise output
    return output


def _decoded(model: LoadedModel, image: bytes, *, max_pixels: int) -> object:
    """Return an image's pixels, decoded as a worker decodes them; raises Undecodable."""
    if model.needs_size:
        return decode_sized(image, model.spec, max_pixels=max_pixels)
    fast = model.fast_decoder.decode([image])[0] if model.fast_decoder is not None else None
    return decode(image, model.spec, max_pixels=max_pixels) if fast is None else fast


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise SystemExit(f"{file}: {error.strerror or error}") from None


def _megabytes(device: str) -> float:
    """Return the most memory this process has had, or on a GPU what it holds there."""
    if is_gpu(device):
        return sum(device_memory(device).values()) / 1e6
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1e6 if sys.platform == "darwin" else most * 1024 / 1e6


def _lines(uri: str, found: Found, output: str) -> list[tuple[str, str]]:
    """Return what is printed, a name and a text a line."""
    model, labels = found.model, found.model.labels
    shown = ", ".join([*labels[:MOST_LABELS], *(["…"] if len(labels) > MOST_LABELS else [])])
    image = ", ".join(f"{name} {value}" for name, value in model.spec.as_metadata().items() if value is not None)
    lines = [
        ("version", f"{uri}, loaded in {found.loading:.1f} s, warm after {found.warming:.1f} s more"),
        ("task", f"{model.task}{f', {len(labels)} labels: {shown}' if labels else ''}"),
        ("image", image),
        ("computes", f"on {model.device}: decode {model.decode}, precision {model.precision}"),
        (
            "speed",
            f"{_milliseconds(found.many_at_a_time)} an image, {_milliseconds(found.one_at_a_time)} for one alone",
        ),
        ("memory", f"{found.megabytes:,.0f} MB more than before"),
    ]
    if model.agreement is not None:
        agreement = model.agreement
        lines.append(
            ("agreement", f"{agreement.top1:.2%} of {agreement.images} photographs have the class of exact and fp32")
        )
    lines += [("warning", warning) for warning in model.warnings]
    if found.same_for_all:
        lines.append(("warning", "different photographs all have the same output: is `image` as in training?"))
    if found.fault:
        lines.append(("warning", found.fault))
    if (longest := found.batch * found.many_at_a_time) > found.limit / 2:
        slow = (
            f"{found.batch} images take {longest:.0f} s; a micro-batch that takes {found.limit:.0f} s ends its worker"
        )
        lines.append(("warning", f"{slow}: set the tag darkroom.max_batch_size"))
    if output:
        cut = f"… ({len(output):,} characters)" if len(output) > LONGEST_OUTPUT else ""
        lines.append(("output", f"{output[:LONGEST_OUTPUT]}{cut}"))
    return lines


def _milliseconds(seconds: float) -> str:
    return f"{written(seconds * 1000, digits=3)} ms"


def _output(model: LoadedModel, image: bytes) -> str:
    """Return the output for an image file's content; raises Undecodable."""
    pixels = _decoded(model, image, max_pixels=settings.read(settings.Intake).max_image_pixels)
    return _usable(model.predict([pixels])[0]).decode()


if __name__ == "__main__":
    # The command sends it before it ends a check that takes too long.
    faulthandler.register(signal.SIGUSR1)
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding=sys.stdout.encoding, errors="replace") as answers:
        # Of the process, not of Python alone: C++ prints as well.
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        main(sys.argv[1:], answers)
