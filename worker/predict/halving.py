"""One forward pass for many images, halved where it raises until the image that makes the model raise is by itself."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from worker.models.errors import OutOfMemory, is_of_a_model
from worker.models.failure_text import failure_text

Image = TypeVar("Image")
Result = TypeVar("Result")


def predict_in_halves(
    images: Sequence[Image],
    predict: Callable[[Sequence[Image]], list[Result]],
    *,
    failed: Callable[[Image, str], Result],
    lower: Callable[[int], object],
) -> list[Result]:
    """Return a result an image: `predict`'s, or for an image that makes it raise by itself `failed`'s, with the reason.

    Whatever a model raises fails one image and no other. Running out of memory calls `lower` with the number of images
    to try next.
    """
    try:
        return predict(images)
    except BaseException as error:
        if not is_of_a_model(error):
            raise
        reason, out_of_memory = failure_text(error), isinstance(error, OutOfMemory)
    # Outside the except block: the error's frames hold what the failed pass left on the device.
    half = len(images) // 2
    if out_of_memory:
        lower(half)
    if half == 0:
        return [failed(images[0], reason)]
    first = predict_in_halves(images[:half], predict, failed=failed, lower=lower)
    return first + predict_in_halves(images[half:], predict, failed=failed, lower=lower)
