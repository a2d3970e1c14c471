import hashlib

import pytest

from shared.domain.identifiers import Digest, ModelName, Owner
from shared.pictures.names import model_folder, owner_prefix, picture_name, read_name

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 30
DIGEST = Digest(hashlib.sha256(PNG).hexdigest())


@pytest.mark.parametrize(
    "model",
    ["digits", "../x", "a/b", "..", ".", ".hidden", "a b", "ünï", "x" * 300, "%2F", "a:b", "con", "\x00", "日" * 60],
)
def test_any_model_has_one_folder_below_its_owner(model: str) -> None:
    name = picture_name(Owner("ann"), ModelName(model), DIGEST, PNG)
    assert name.startswith(owner_prefix(Owner("ann")))
    owner, folder, two, file = name.split("/")
    assert owner == "ann"
    assert folder not in ("", ".", "..")
    assert not folder.startswith(".")
    assert folder.isascii()
    assert len(folder) <= 150
    assert (two, file) == (DIGEST[:2], f"{DIGEST}.png")
    found = read_name(name)
    assert found is not None
    assert (found.owner, found.folder, found.digest) == ("ann", model_folder(ModelName(model)), DIGEST)


def test_different_models_have_different_folders() -> None:
    models = ["a/b", "a%2Fb", "a b", "a+b", ".", "..", "%2E", "x" * 300, "x" * 301]
    assert len({model_folder(ModelName(model)) for model in models}) == len(models)


def test_bytes_of_no_known_format_are_kept_too() -> None:
    assert picture_name(Owner("ann"), ModelName("m"), DIGEST, b"?").endswith(".bin")


@pytest.mark.parametrize(
    "name", ["", "photo.jpg", "ann/m/photo.jpg", "ann/m/00/short.png", f"m/{DIGEST[:2]}/{DIGEST}.png"]
)
def test_other_files_are_no_kept_pictures(name: str) -> None:
    assert read_name(name) is None
