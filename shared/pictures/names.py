"""The names of kept pictures: `<owner>/<model>/<2 digits>/<sha256>.<format>`.

An owner's pictures have a prefix of their own, so deleting everything of an owner is deleting a prefix.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from shared.domain.identifiers import Digest, ModelName, Owner
from shared.image_files.formats import identify_format

UNKNOWN_FORMAT: Final = "bin"
_LONGEST: Final = 150
"""Bytes of a model's folder: file systems take 255."""
_NAME: Final = re.compile(r"(?P<owner>[^/]+)/(?P<model>[^/]+)/[0-9a-f]{2}/(?P<digest>[0-9a-f]{64})\.[a-z]{1,5}")


@dataclass(frozen=True, slots=True)
class PictureName:
    """What the name of a kept picture says; `folder` stands for its model, as `model_folder` writes it."""

    owner: Owner
    folder: str
    digest: Digest


def picture_name(owner: Owner, model: ModelName, digest: Digest, image: bytes) -> str:
    """Return the name under which a picture is kept; the suffix is the format of its bytes."""
    found = identify_format(image)
    suffix = found[0].lower() if found else UNKNOWN_FORMAT
    return f"{model_prefix(owner, model)}{digest[:2]}/{digest}.{suffix}"


def owner_prefix(owner: Owner) -> str:
    """Return what the names of all pictures of an owner begin with, and of nobody else's."""
    return f"{owner}/"


def model_prefix(owner: Owner, model: ModelName) -> str:
    """Return what the names of an owner's pictures of one model begin with."""
    return f"{owner_prefix(owner)}{model_folder(model)}/"


def model_folder(model: ModelName) -> str:
    """Return a model's name as the name of a folder: percent-encoded, a long one's SHA-256."""
    encoded = quote(model, safe="")
    if len(encoded) > _LONGEST:
        return f"~{hashlib.sha256(model.encode()).hexdigest()}"
    return f"%2E{encoded[1:]}" if encoded.startswith(".") else encoded


def read_name(name: str) -> PictureName | None:
    """Return what a name says; None for a file that is no kept picture."""
    found = _NAME.fullmatch(name)
    return found and PictureName(Owner(found["owner"]), found["model"], Digest(found["digest"]))
