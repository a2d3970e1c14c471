"""The images of a micro-batch to pixels: in the version's fast way, by Pillow, or in a decoder process."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from shared.domain.image import ImageSpec
from shared.image_files.formats import HEAVY
from shared.queue.consumer.entries import Entry
from worker.decode.decode_threads import DecodeThreads
from worker.decode.decoder_pool import DecoderPool
from worker.decode.image_loading import Undecodable
from worker.decode.preprocessing import decode, decode_sized, estimated_work
from worker.decode.sized_pixels import SizedPixels
from worker.predict.model_protocols import Model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

MOST_HEAVY: Final = 64
"""Heavy images in hand at most: so many may come with the first pull from a lane of which nothing is known."""


class Decoding:
    """Decodes images for a version; threads may share it."""

    def __init__(self, *, decoders: DecoderPool, threads: DecodeThreads, max_pixels: int) -> None:
        self._decoders = decoders
        self._threads = threads
        self._max_pixels = max_pixels

    def decode(
        self, model: Model, entries: Sequence[Entry], *, heavy: list[Entry] | None, heavy_in_hand: Callable[[], int]
    ) -> Iterator[tuple[Entry, object]]:
        """Yield what the model takes, or Undecodable, for each entry that is not added to `heavy`.

        Where `heavy` is None the entries run alone, because one of them may have ended its process: nothing is decoded
        in the fast way, and heavy images in a decoder process.
        """
        left = [(entry, estimated_work(entry.image, model.spec)) for entry in entries]
        if model.fast_decoder is not None and heavy is not None:
            tried = [one for one in left if one[1] <= HEAVY or model.fast_decoder.takes_heavy]
            left = [one for one in left if one[1] > HEAVY and not model.fast_decoder.takes_heavy]
            found = model.fast_decoder.decode([entry.image for entry, _ in tried])
            for one, pixels in zip(tried, found, strict=True):
                if pixels is None:
                    left.append(one)
                else:
                    yield one[0], pixels
        light = [one for one in left if one[1] <= HEAVY]
        if light:
            decode_one = partial(
                _pixels_or_reason, spec=model.spec, max_pixels=self._max_pixels, sized=model.needs_size
            )
            images, estimated = [entry.image for entry, _ in light], sum(work for _, work in light)
            decoded = self._threads.map(decode_one, images, estimated_work=estimated)
            yield from ((entry, pixels) for (entry, _), pixels in zip(light, decoded, strict=True))
        for entry, work in left:
            if work <= HEAVY:
                continue
            if heavy is not None and len(heavy) + heavy_in_hand() < MOST_HEAVY:
                heavy.append(entry)
            else:
                yield entry, self.decode_apart(model, entry)

    def decode_apart(self, model: Model, entry: Entry) -> "Pixels | SizedPixels | Undecodable":
        """Return the pixels, decoded in a decoder process, or why there are none."""
        try:
            if model.needs_size:
                return self._decoders.decode_sized(entry.image, model.spec)
            return self._decoders.decode(entry.image, model.spec)
        except Undecodable as error:
            return error


def _pixels_or_reason(
    image: bytes, *, spec: ImageSpec, max_pixels: int, sized: bool
) -> "Pixels | SizedPixels | Undecodable":
    """Return the pixels, with the picture's size if asked for, or why there are none."""
    try:
        if sized:
            return decode_sized(image, spec, max_pixels=max_pixels)
        return decode(image, spec, max_pixels=max_pixels)
    except Undecodable as error:
        return error
