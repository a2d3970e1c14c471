"""JPEGs on which a version's faster ways to compute are compared with the exact one: crops of shipped photographs.

Why eight photographs suffice: whether the version is right about them does not matter, only whether two ways to compute
the same scores differ. They differ by rounding, in the decoder and in number formats. That depends on edges, textures,
colours, sizes and the JPEG's encoding more than on what is shown, and those vary as widely as with clients' pictures:
128 to 640 pixels a side, upright and wide, colour and grey, quality 60 to 95, each chroma subsampling, baseline and
progressive. Crops are large, so that what is shown stays recognisable: a version in doubt changes its answer with any
rounding, as it would with a client's picture of nothing in particular.
"""

import io
import random
from functools import cache
from importlib import resources
from typing import Final

from PIL import Image

COUNT: Final = 512
"""How many there are. Half of them are judged: one in 256 may differ by chance, two are too many."""
_SIDES: Final = (128, 160, 192, 224, 224, 224, 256, 256, 320, 320, 400, 640)
_SHAPES: Final = (1.0, 1.0, 4 / 3, 3 / 4, 3 / 2, 2 / 3, 16 / 9)
_SMALLEST_PART: Final = 0.7
_SUBSAMPLINGS: Final = ("4:4:4", "4:2:2", "4:2:0", "4:2:0")
_QUALITIES: Final = (60, 75, 75, 85, 90, 95)


@cache
def reference_photographs() -> tuple[bytes, ...]:
    """Return the JPEGs, in the same order and with the same pixels each time; 0.5 s of one core the first time.

    Any first few of them are as varied as all are. Together 8 MB, kept for the next version to be loaded.
    """
    folder = resources.files("worker.models") / "photographs"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".jpg")), key=lambda file: file.name)
    originals = [Image.open(io.BytesIO(file.read_bytes())) for file in files]
    chance = random.Random(0)  # noqa: S311  no secret
    return tuple(_variation(originals[index % len(originals)], chance) for index in range(COUNT))


def _variation(original: Image.Image, chance: random.Random) -> bytes:
    """Return a crop of a photograph, scaled and perhaps flipped, as a JPEG."""
    longest, shape = chance.choice(_SIDES) + chance.randrange(16), chance.choice(_SHAPES)
    width, height = (longest, round(longest / shape)) if shape >= 1 else (round(longest * shape), longest)
    # The largest box of that shape, and of it a part.
    part = chance.uniform(_SMALLEST_PART, 1.0) * min(original.width / width, original.height / height)
    across, down = width * part, height * part
    left, top = chance.uniform(0, original.width - across), chance.uniform(0, original.height - down)
    image = original.resize((width, height), Image.Resampling.BILINEAR, (left, top, left + across, top + down))
    if chance.random() < 0.5:  # noqa: PLR2004  every other one
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    file = io.BytesIO()
    image.save(
        file,
        "JPEG",
        quality=chance.choice(_QUALITIES),
        subsampling=chance.choice(_SUBSAMPLINGS),
        progressive=chance.random() < 0.1,  # noqa: PLR2004  one in ten
    )
    return file.getvalue()
