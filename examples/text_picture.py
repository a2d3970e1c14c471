"""A picture with three lines of text, for the detector of text."""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

LINES = ("DARKROOM", "any vision model", "boxes in your pixels")


def drawn(folder: Path) -> Path:
    """Draw the lines, 160 pixels apart, and return the file."""
    picture = Image.new("RGB", (900, 600), "white")
    for place, line in enumerate(LINES):
        ImageDraw.Draw(picture).text((80, 80 + 160 * place), line, "black", ImageFont.load_default(48))
    picture.save(folder / "text.png")
    return folder / "text.png"
