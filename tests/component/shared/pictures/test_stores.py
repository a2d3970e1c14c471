"""A folder and a bucket keep pictures alike."""

import hashlib
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from shared.domain.identifiers import Digest, ModelName, Owner
from shared.pictures.folder_store import PARTIAL, FolderStore
from shared.pictures.names import owner_prefix, picture_name
from shared.pictures.opening import open_store, store_address
from shared.pictures.picture_store import PictureStore, StoreError
from shared.settings import KeepImages, SettingsError, read
from tests.support.s3_server import S3Server

ANN, BOB = Owner("ann"), Owner("ann.b")


def named(owner: Owner, image: bytes, model: str = "digits") -> str:
    return picture_name(owner, ModelName(model), Digest(hashlib.sha256(image).hexdigest()), image)


def test_a_picture_is_kept_once_listed_and_read(store: PictureStore) -> None:
    store.make()
    name = named(ANN, b"one")
    before = time.time() - 5
    assert store.keep(name, b"one")
    assert not store.keep(name, b"one")
    [kept] = store.pictures()
    assert (kept.name, kept.size) == (name, 3)
    assert before < kept.written < time.time() + 5
    assert store.read(name) == b"one"
    assert store.read(named(ANN, b"another")) is None


def test_a_second_keep_does_not_make_a_picture_younger(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.keep(named(ANN, b"one"), b"one")
    os.utime(tmp_path / named(ANN, b"one"), (1, 1))
    store.keep(named(ANN, b"one"), b"one")
    assert [kept.written for kept in store.pictures()] == [1]


def test_owners_are_apart_though_one_name_begins_like_the_other(store: PictureStore) -> None:
    for owner in (ANN, BOB):
        for image in (b"one", b"two"):
            store.keep(named(owner, image, "a/../b"), image)
    assert sorted(store.owners()) == [ANN, BOB]
    of_ann = [kept.name for kept in store.pictures(owner_prefix(ANN))]
    assert len(of_ann) == 2
    store.delete(of_ann)
    store.delete(of_ann)
    assert list(store.pictures(owner_prefix(ANN))) == []
    # SeaweedFS goes on listing a prefix without objects.
    assert BOB in store.owners()
    assert {kept.name.partition("/")[0] for kept in store.pictures()} == {BOB}
    assert len(list(store.pictures())) == 2


def test_a_store_that_nothing_was_kept_in_is_empty(store: PictureStore) -> None:
    assert (list(store.pictures()), list(store.owners())) == ([], [])
    store.clean(before=time.time())
    store.delete([named(ANN, b"one")])


def test_files_of_other_names_are_neither_listed_nor_deleted(tmp_path: Path) -> None:
    mine = tmp_path / "album" / "beach.jpg"
    mine.parent.mkdir()
    mine.write_bytes(b"mine")
    store = FolderStore(tmp_path)
    store.keep(named(ANN, b"one"), b"one")
    assert [kept.name for kept in store.pictures()] == [named(ANN, b"one")]
    store.delete(kept.name for kept in store.pictures())
    store.clean(before=time.time() + 60)
    assert mine.read_bytes() == b"mine"


def test_only_the_workers_user_can_read_a_folders_pictures(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "kept")
    store.make()
    store.keep(named(ANN, b"one"), b"one")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "kept").rglob("*")}
    assert set(modes.values()) == {0o700, 0o600}
    assert stat.S_IMODE((tmp_path / "kept").stat().st_mode) == 0o700


def test_a_writer_killed_in_the_middle_leaves_no_half_picture(tmp_path: Path) -> None:
    """The writer is killed while the picture's bytes go into its file."""
    code = textwrap.dedent(f"""
        import os, pathlib, shared.pictures.folder_store as one
        usual = os.fdopen
        def slow(*arguments):
            file = usual(*arguments)
            file.write(b"half of it"); file.flush()
            print("writing", flush=True)
            os.pause() if hasattr(os, "pause") else __import__("signal").pause()
        one.os.fdopen = slow
        one.FolderStore(pathlib.Path({str(tmp_path)!r})).keep({named(ANN, b"one")!r}, b"one")
    """)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"writing\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    store = FolderStore(tmp_path)
    assert list(store.pictures()) == []
    assert store.read(named(ANN, b"one")) is None
    assert len(list((tmp_path / PARTIAL).iterdir())) == 1
    store.clean(before=time.time() - 60)
    assert len(list((tmp_path / PARTIAL).iterdir())) == 1
    store.clean(before=time.time() + 60)
    assert list((tmp_path / PARTIAL).iterdir()) == []
    assert store.keep(named(ANN, b"one"), b"one")


def test_a_folder_that_cannot_be_written_is_told_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = open_store(KeepImages(url=str(tmp_path / "file")))
    with pytest.raises(StoreError, match=str(tmp_path)):
        store.make()
    with pytest.raises(StoreError, match=str(tmp_path)):
        store.keep(named(ANN, b"one"), b"one")


def test_a_bucket_that_does_not_answer_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = S3Server("http://127.0.0.1:9")
    # The login of the other tests' server: boto3 keeps the first that it finds for as long as the process lives.
    for name, value in nowhere.environment.items():
        monkeypatch.setenv(name, value)
    store = open_store(KeepImages(url=f"s3://{nowhere.bucket}", endpoint=nowhere.endpoint))
    with pytest.raises(StoreError, match="EndpointConnectionError"):
        store.keep(named(ANN, b"one"), b"one")


@pytest.mark.parametrize("url", ["gs://bucket", "http://store/pictures", "s3:///prefix", "s3://", "file://host/path"])
def test_an_address_of_another_kind_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_KEEP_IMAGES_URL", url)
    with pytest.raises(SettingsError, match="DARKROOM_KEEP_IMAGES_URL"):
        read(KeepImages)


def test_an_endpoint_that_is_no_address_stops_with_the_settings_name() -> None:
    with pytest.raises(SettingsError, match="DARKROOM_KEEP_IMAGES_URL"):
        open_store(KeepImages(url="s3://pictures", endpoint="nonsense"))


def test_a_folders_address_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert store_address("kept") == str(tmp_path / "kept")
    assert store_address(f"file://{tmp_path}/a%20b") == str(tmp_path / "a b")
    assert store_address("s3://pictures/x") == "s3://pictures/x"
