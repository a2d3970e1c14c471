"""Names the kind of a file that is no supported image, for the error text. A helpful guess, no exact check."""

import re
from typing import Final

# The longer beginning stands first where one begins with another.
_BEGINNINGS: Final = (
    (b"%PDF-", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"<svg", "an SVG drawing"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"PK\x05\x06", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"II\xbc", "a JPEG XR image"),
    (b"8BPS", "a Photoshop document (PSD)"),
    (b"gimp xcf", "a GIMP document (XCF)"),
    (b"\0\0\x01\0", "a Windows icon"),
    (b"icns", "a macOS icon"),
    (b"\x76\x2f\x31\x01", "an OpenEXR image"),
    (b"#?RADIANCE", "a Radiance HDR image"),
    (b"#?RGBE", "a Radiance HDR image"),
    (b"DDS ", "a DDS texture"),
    (b"\xabKTX", "a KTX texture"),
    (b"qoif", "a QOI image"),
    (b"FLIF", "a FLIF image"),
    (b"BPG\xfb", "a BPG image"),
    (b"\x8aMNG", "an MNG animation"),
    (b"\x8bJNG", "a JNG image"),
    (b"AT&TFORM", "a DjVu document"),
    (b"SIMPLE  =", "a FITS image"),
    (b"\xd7\xcd\xc6\x9a", "a Windows metafile"),
    (b"\x01\xda", "an SGI image"),
    (b"\x59\xa6\x6a\x95", "a Sun raster image"),
    (b"FUJIFILMCCD-RAW", "a camera's raw file (RAF)"),
    (b"IIRO", "a camera's raw file (ORF)"),
    (b"IIRS", "a camera's raw file (ORF)"),
    (b"MMOR", "a camera's raw file (ORF)"),
    (b"IIU\0", "a camera's raw file (RW2)"),
    (b"FOVb", "a camera's raw file (X3F)"),
    (b"\0MRM", "a camera's raw file (MRW)"),
    (b"\x1aE\xdf\xa3", "a video (Matroska or WebM)"),
    (b"FLV\x01", "a video (Flash)"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a video (Windows Media)"),
    (b"\0\0\x01\xba", "a video (MPEG)"),
    (b"\0\0\x01\xb3", "a video (MPEG)"),
    (b"OggS", "an Ogg file"),
    (b"ID3", "a sound file"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"PAR1", "a Parquet file"),
)
_PATTERNS: Final = (
    (re.compile(rb"P[1-7][\s#]"), "a PNM image"),
    # Then the number of cursors; a TGA image has zeros there.
    (re.compile(rb"\0\0\x02\0[^\0]"), "a Windows cursor"),
    (re.compile(rb"P[Ff]\s"), "a PFM image"),
    (re.compile(rb"\n[\0\x02-\x05]\x01[\x01\x02\x04\x08]"), "a PCX image"),
    (re.compile(rb"RIFF....AVI ", re.DOTALL), "a video (AVI)"),
    (re.compile(rb"RIFF....WAVE", re.DOTALL), "a sound file"),
    (re.compile(rb"....(?:moov|mdat|wide|free)", re.DOTALL), "a video (QuickTime)"),
    (re.compile(rb".{40} EMF", re.DOTALL), "a Windows metafile"),
    (re.compile(rb".{128}DICM", re.DOTALL), "a DICOM image"),
    (re.compile(rb".{257}ustar", re.DOTALL), "a tar archive"),
    # Without a colour map its fields are zeros, then come the known depths. The footer of TGA 2.0 is unmistakable.
    (re.compile(rb".\0[\x02\x03\x0a\x0b]\0{5}.{8}[\x08\x0f\x10\x18\x20][\0-\x3f]", re.DOTALL), "a TGA image"),
    (re.compile(rb".\x01[\x01\x09].{13}\x08[\0-\x3f]", re.DOTALL), "a TGA image"),
)
_TGA_FOOTER: Final = b"TRUEVISION-XFILE.\0"
# Brands of ISO base media files; some name their kind only among the compatible brands.
_BRANDS: Final = (
    ((b"avif", b"avis"), "an AVIF image"),
    ((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), "a HEIC image"),
    ((b"crx ",), "a camera's raw file (CR3)"),
    ((b"jp2 ", b"jpx ", b"jph "), "a JPEG 2000 image"),
    ((b"jxl ",), "a JPEG XL image"),
    ((b"mif1", b"mif2", b"msf1", b"miaf"), "a HEIF image"),
)
_MEDIA_TYPE: Final = re.compile(r"[a-z]+/[a-z0-9.+-]{1,80}")


def describe_file(data: bytes, content_type: str | None) -> str:
    """Return in words what a file is."""
    if not data:
        return "nothing"
    start = data[:512]
    words = _known(start, data[-len(_TGA_FOOTER) :])
    if words:
        return words
    if is_text(start):
        return _of_text(start)
    declared = (content_type or "").partition(";")[0].strip().lower()
    if _MEDIA_TYPE.fullmatch(declared) and declared != "application/octet-stream":
        return f"bytes that are no image, declared as {declared}"
    return "bytes that are no image"


def _known(start: bytes, end: bytes) -> str | None:
    """Return the kind that a file's first 512 bytes and its last ones show; None for an unknown one."""
    if start[4:8] == b"ftyp":
        return _of_brands(start)
    for beginnings in (start, start.lstrip()):
        for beginning, words in _BEGINNINGS:
            if beginnings.startswith(beginning):
                return words
    if end == _TGA_FOOTER:
        return "a TGA image"
    text = is_text(start)
    for pattern, words in _PATTERNS:
        # A text may begin with any four letters.
        if pattern.match(start) and not (text and words != "a PNM image"):
            return words
    return None


def _of_brands(start: bytes) -> str:
    """Return the kind of an ISO base media file, by its major brand, then by its compatible brands."""
    length = min(int.from_bytes(start[:4], "big"), len(start))
    brands = [start[8:12], *(start[place : place + 4] for place in range(16, length - 3, 4))]
    for brand in brands:
        for known, words in _BRANDS:
            if brand in known:
                return words
    return "a video (MP4 or QuickTime)"


def _of_text(start: bytes) -> str:
    lower = start.lower()
    if b"<svg" in lower:
        return "an SVG drawing"
    return "an HTML page" if lower.lstrip().startswith((b"<!doctype html", b"<html")) else "text"


def is_text(start: bytes) -> bool:
    """Tell whether these bytes read as UTF-8, cut off anywhere."""
    if b"\0" in start:
        return False
    try:
        start.decode()
    except UnicodeDecodeError as error:
        return error.start > len(start) - 4 and len(start) > 4  # noqa: PLR2004  a character cut in two
    return True
