"""The kind of a file that is no image is named in the answer."""

import io
import struct

import pytest
from PIL import Image

from api.uploads.unsupported_files import describe_file
from shared.domain.errors import UnsupportedImage
from tests.unit.api.uploads.test_image_check import KINDS, facts


def ftyp(brand: bytes, *compatible: bytes) -> bytes:
    brands = b"".join(compatible)
    return struct.pack(">I", 16 + len(brands)) + b"ftyp" + brand + bytes(4) + brands + b"\0\0\0\x08mdat"


def saved(format: str, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (32, 32)).save(file, format)
    return file.getvalue()


def with_tag(tag: int, value: int) -> bytes:
    """Return a TIFF with one tag more."""
    file = io.BytesIO()
    Image.new("L", (9, 9)).save(file, "TIFF", tiffinfo={tag: value})
    return file.getvalue()


def with_photometric(number: int) -> bytes:
    data = bytearray(KINDS["tiff-L"])
    place = data.index(struct.pack("<HHI", 262, 3, 1))
    data[place + 8 : place + 10] = struct.pack("<H", number)
    return bytes(data)


OTHERS = {
    "HEIC": (ftyp(b"heic", b"mif1", b"heic"), "a HEIC image"),
    "HEIC by what it is compatible with": (ftyp(b"mif1", b"mif1", b"heic"), "a HEIF image"),
    "HEIF": (ftyp(b"msf1"), "a HEIF image"),
    "AVIF": (saved("AVIF"), "an AVIF image"),
    "AVIF, a sequence": (ftyp(b"avis", b"msf1"), "an AVIF image"),
    "JPEG XL, bare": (b"\xff\x0a\xfa\x7f\x01\x90", "a JPEG XL image"),
    "JPEG XL": (b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl ", "a JPEG XL image"),
    "JP2": (saved("JPEG2000"), "a JPEG 2000 image"),
    "J2K": (b"\xff\x4f\xff\x51\0\x2f\0\0", "a JPEG 2000 image"),
    "JPEG-LS": (b"\xff\xd8\xff\xf7\0\x0b\x08\0\x20\0\x20\1\1\x11\0\xff\xda\0\x08", "a JPEG-LS image"),
    "JPEG-LS, after a comment": (b"\xff\xd8\xff\xfe\0\4hi\xff\xf7\0\x0b\x08\0\x20\0\x20\1\1\x11\0", "a JPEG-LS image"),
    "JPEG XR": (b"II\xbc\1\x20\0\0\0", "a JPEG XR image"),
    "PSD": (b"8BPS\0\1" + bytes(6) + b"\0\3\0\0\0\x20", "a Photoshop document (PSD)"),
    "ICO": (saved("ICO"), "a Windows icon"),
    "CR2": (b"II*\0\x10\0\0\0CR\2\0\0\0\0\0\0\0" + bytes(40), "a camera's raw file (CR2)"),
    "CR3": (ftyp(b"crx ", b"isom"), "a camera's raw file (CR3)"),
    "DNG": (with_tag(50706, 1), "a camera's raw file (DNG)"),
    "NEF": (with_photometric(32803), "a camera's raw file"),
    "RAF": (b"FUJIFILMCCD-RAW 0201", "a camera's raw file (RAF)"),
    "ORF": (b"IIRO\x08\0\0\0", "a camera's raw file (ORF)"),
    "RW2": (b"IIU\0\x18\0\0\0", "a camera's raw file (RW2)"),
    "OpenEXR": (b"\x76\x2f\x31\x01\2\0\0\0", "an OpenEXR image"),
    "PCX": (saved("PCX"), "a PCX image"),
    "TGA": (saved("TGA"), "a TGA image"),
    "TGA, of old": (saved("TGA")[:-26], "a TGA image"),
    "PBM": (saved("PPM", "1"), "a PNM image"),
    "PGM": (saved("PPM", "L"), "a PNM image"),
    "PPM": (saved("PPM"), "a PNM image"),
    "PPM in letters": (b"P3\n# a note\n1 1\n255\n1 2 3\n", "a PNM image"),
    "SGI": (saved("SGI"), "an SGI image"),
    "QOI": (b"qoif\0\0\0\1\0\0\0\1\3\0", "a QOI image"),
    "DDS": (saved("DDS"), "a DDS texture"),
    "MP4": (ftyp(b"isom", b"mp42"), "a video (MP4 or QuickTime)"),
    "MOV": (ftyp(b"qt  "), "a video (MP4 or QuickTime)"),
    "MOV, of old": (b"\0\0\0\x20moov" + bytes(24), "a video (QuickTime)"),
    "WebM": (b"\x1aE\xdf\xa3\x01\0\0\0", "a video (Matroska or WebM)"),
    "AVI": (b"RIFF\x10\0\0\0AVI LIST", "a video (AVI)"),
    "MPEG": (b"\0\0\1\xba\x44\0", "a video (MPEG)"),
    "DICOM": (bytes(128) + b"DICM\2\0", "a DICOM image"),
    "ZIP": (b"PK\x03\x04\x14\0", "a ZIP archive"),
    "HTML": (b"<!DOCTYPE html><html>", "an HTML page"),
    "SVG": (b"<?xml version='1.0'?>\n<svg/>", "an SVG drawing"),
    "words that begin like a PNM": (b"P5 is a tier of vitamins", "a PNM image"),
    "words that begin like others": (b"BZip, Rar and free moov", "text"),
    "TGA, a palette": (saved("TGA", "P")[:-26], "a TGA image"),
    "all bytes there are": (bytes(range(256)), "bytes that are no image"),
    "bytes": (b"\xd8\xfe\0\1" * 20, "bytes that are no image"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_the_kind_of_a_file_is_named(kind: str) -> None:
    data, words = OTHERS[kind]
    with pytest.raises(UnsupportedImage) as refused:
        facts(data)
    assert refused.value.found == words


def test_empty_files_and_declared_types_are_described() -> None:
    assert describe_file(b"", None) == "nothing"
    assert describe_file(b"\xd8\xfe\0\1", "image/x-odd; a=b") == "bytes that are no image, declared as image/x-odd"
    assert describe_file(b"\xd8\xfe\0\1", "no type at all!") == "bytes that are no image"


@pytest.mark.parametrize("length", range(40))
def test_few_bytes_of_anything_are_described(length: int) -> None:
    for start in (b"", b"\0\0\0", b"ftyp", b"\xff", b"P5", b"RIFF"):
        assert describe_file((start * 40)[:length], None)
