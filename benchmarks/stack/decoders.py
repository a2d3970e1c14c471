"""Names of what decodes a bare loop's images, apart from the code: that imports torch, which takes seconds."""

from typing import Final

PILLOW: Final = "pillow"
TORCHVISION: Final = "torchvision"
