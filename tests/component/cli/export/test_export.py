"""`darkroom export` on real stores: what it writes, whose pictures, and that it can be repeated and continued."""

import csv
import hashlib
import io
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from cli.export import folder as export_folder
from cli.export.folder import PARTIAL, set_digest
from cli.export.run import export
from cli.terminal.refused import Refused
from shared.domain.identifiers import ANYONE, Digest, ModelName, Owner, new_uuid7
from shared.pictures.folder_store import FolderStore
from shared.pictures.names import picture_name
from shared.storage.recording import record
from tests.support.servers import RedisServer

PNG = b"\x89PNG\r\n\x1a\n"
Add = Callable[..., str]
pytestmark = pytest.mark.usefixtures("redis_client")  # empties Redis


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "kept")


@pytest.fixture(autouse=True)
def stores(tmp_path: Path, redis_server: RedisServer, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_REDIS_URL", redis_server.url)
    monkeypatch.setenv("DARKROOM_DATABASE_URL", database_url)
    monkeypatch.setenv("DARKROOM_KEEP_IMAGES_URL", str(tmp_path / "kept"))


@pytest.fixture
def add(engine: Engine, store: FolderStore, finished_record: Callable[..., Any]) -> Add:
    """Keep a picture and record a prediction of it; returns the prediction's id."""

    def add(
        image: bytes, *, label: str | None = None, disagreed: bool = False, owner: Owner = ANYONE,
        model: str = "digits", kept: bool = True, ago: timedelta = timedelta(0),
    ) -> str:  # fmt: skip
        image = PNG + image
        digest = Digest(hashlib.sha256(image).hexdigest())
        if kept:
            store.keep(picture_name(owner, ModelName(model), digest, image), image)
        facts = {"sha256": digest, "format": "PNG", "width": 1, "height": 1, "bytes": len(image), "filename": None}
        now = int(new_uuid7().replace("-", "")[:12], 16)
        id = new_uuid7(unix_ms=now - ago // timedelta(milliseconds=1))
        with engine.connect() as connection:
            record(connection, [finished_record(id=id, owner=owner, request={"model": model, "image": facts})])
        with engine.begin() as connection:
            if disagreed:
                connection.execute(
                    text(
                        "INSERT INTO shadow_predictions (prediction_id, version_key, owner, model, version, variant, "
                        "status, agrees, created_at) VALUES (:id, '4-b', :owner, :model, '4', 'shadow', 'succeeded', "
                        "false, now())"
                    ),
                    {"id": id, "owner": owner, "model": model},
                )
        if label is not None:
            say(engine, id, label, owner=owner)
        return id

    return add


def say(engine: Engine, id: str, label: str, *, owner: Owner = ANYONE) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO feedback (prediction_id, owner, label, by) VALUES (:id, :owner, :label, 'ann')"),
            {"id": id, "owner": owner, "label": label},
        )


def run(out: Path, *, owner: str = "default", model: str = "digits", days: int = 7, **options: Any) -> int:
    chosen = {"labelled": False, "disagreed": False, "mlflow_run": None} | options
    return export(out.parent / "home", model, owner=Owner(owner), since=timedelta(days=days), out=out, **chosen)


def files(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def pictures(out: Path) -> set[str]:
    return {f"{path.parent.name}/{path.read_bytes()[len(PNG) :].decode()}" for path in out.glob("*/*.png")}


def test_pictures_lie_in_their_labels_folders(add: Add, tmp_path: Path, capsys: Any) -> None:
    add(b"one", label="1")
    seven = add(b"seven", label="7")
    add(b"unknown")
    out = tmp_path / "data"
    assert run(out) == 0
    assert pictures(out) == {"1/one", "7/seven", "unlabelled/unknown"}
    said = capsys.readouterr().out
    assert "3 pictures in " in said
    assert "2 of them labelled with 2 labels" in said
    manifest = json.loads((out / "manifest.json").read_text())
    [entry] = [entry for entry in manifest["pictures"] if entry["label"] == "7"]
    assert entry["predictions"] == [seven]
    assert (entry["by"], entry["version"], entry["predicted_class"], entry["confidence"]) == ("ann", "3", "7", 0.998)
    assert manifest["sha256"] == set_digest(manifest["pictures"])
    assert manifest["sha256"] in said
    rows = list(csv.DictReader(io.StringIO((out / "labels.csv").read_text())))
    assert [row["path"] for row in rows] == [entry["path"] for entry in manifest["pictures"]]
    assert {row["label"] for row in rows} == {"1", "7", ""}
    for row in rows:
        assert hashlib.sha256((out / row["path"]).read_bytes()).hexdigest() == row["sha256"]


def test_two_exports_are_identical_and_the_second_writes_no_picture(add: Add, tmp_path: Path) -> None:
    for number in range(20):
        add(b"%d" % number, label=str(number % 3))
    out, other = tmp_path / "data", tmp_path / "other"
    run(out)
    before = files(out)
    times = {path: path.stat().st_mtime_ns for path in out.glob("*/*.png")}
    run(out)
    run(other)
    assert files(out) == files(other) == before
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/*.png")} == times


def test_only_labelled_and_only_disagreed(add: Add, tmp_path: Path) -> None:
    add(b"labelled", label="1")
    add(b"disagreed", disagreed=True)
    add(b"both", label="1", disagreed=True)
    add(b"neither")
    run(tmp_path / "a", labelled=True)
    run(tmp_path / "b", disagreed=True)
    run(tmp_path / "c", labelled=True, disagreed=True)
    assert pictures(tmp_path / "a") == {"1/labelled", "1/both"}
    assert pictures(tmp_path / "b") == {"unlabelled/disagreed", "1/both"}
    assert pictures(tmp_path / "c") == {"1/both"}


def test_the_last_label_counts_and_an_export_moves_the_picture(add: Add, engine: Engine, tmp_path: Path) -> None:
    first, second = add(b"one", label="1"), add(b"one")
    out = tmp_path / "data"
    run(out)
    assert pictures(out) == {"1/one"}
    say(engine, second, "8")
    run(out)
    assert pictures(out) == {"8/one"}
    assert not (out / "1").exists()
    say(engine, first, "1")
    run(out)
    assert pictures(out) == {"1/one"}


def test_a_picture_with_several_predictions_is_there_once(add: Add, tmp_path: Path) -> None:
    ids = [add(b"one", label="1"), add(b"one", label="1")]
    run(tmp_path / "data")
    [entry] = json.loads((tmp_path / "data" / "manifest.json").read_text())["pictures"]
    assert entry["predictions"] == ids


def test_another_owner_s_pictures_and_labels_are_never_exported(add: Add, engine: Engine, tmp_path: Path) -> None:
    mine = add(b"shared", owner=Owner("ann"))
    theirs = add(b"shared", owner=Owner("bob"), label="bob's")
    add(b"secret", owner=Owner("bob"), label="bob's")
    add(b"sent, not kept", owner=Owner("ann"), kept=False)
    say(engine, mine, "forged", owner=Owner("bob"))
    run(tmp_path / "data", owner="ann")
    assert pictures(tmp_path / "data") == {"unlabelled/shared"}
    manifest = (tmp_path / "data" / "manifest.json").read_text()
    assert theirs not in manifest
    assert "forged" not in manifest


def test_other_models_and_older_predictions_are_left_out(add: Add, tmp_path: Path, capsys: Any) -> None:
    add(b"other", model="letters")
    add(b"old", ago=timedelta(days=8))
    assert run(tmp_path / "data") == 1
    assert "No kept picture of digits" in capsys.readouterr().out
    assert not (tmp_path / "data").exists()
    add(b"young", ago=timedelta(days=6))
    run(tmp_path / "data")
    assert pictures(tmp_path / "data") == {"unlabelled/young"}


@pytest.mark.parametrize("label", ["../x", "a/b", "..", "/etc", "con", "x" * 300, "manifest.json", ".git", "ünï 日本"])
def test_odd_labels_stay_inside_the_folder(add: Add, tmp_path: Path, label: str) -> None:
    add(b"one", label=label)
    out = tmp_path / "deep" / "data"
    out.parent.mkdir()
    before = {path for path in tmp_path.rglob("*") if out not in path.parents}
    run(out)
    [path] = out.glob("*/*.png")
    assert path.parent.parent == out
    [row] = csv.DictReader(io.StringIO((out / "labels.csv").read_text()))
    assert row["label"] == label
    assert {path for path in tmp_path.rglob("*") if out not in path.parents} - before == {out}


def test_an_export_that_was_stopped_is_continued(add: Add, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        add(b"%d" % number, label="1")
    run(tmp_path / "whole")
    out = tmp_path / "data"
    usual = export_folder.ExportFolder._write
    written = []

    def stop_after_ten(self: Any, path: Path, data: bytes) -> None:
        if len(written) == 10:
            raise OSError("disk full")
        written.append(path)
        usual(self, path, data)

    with monkeypatch.context() as patched:
        patched.setattr(export_folder.ExportFolder, "_write", stop_after_ten)
        with pytest.raises(Refused, match="run it again to continue"):
            run(out)
    assert not (out / "manifest.json").exists()
    assert len(list(out.glob("*/*.png"))) == 10
    times = {path: path.stat().st_mtime_ns for path in written}
    run(out)
    assert files(out) == files(tmp_path / "whole")
    assert {path: path.stat().st_mtime_ns for path in written} == times
    assert not (out / PARTIAL).exists()


def test_a_damaged_picture_is_left_out_and_told(add: Add, store: FolderStore, tmp_path: Path, capsys: Any) -> None:
    add(b"whole")
    add(b"broken")
    for kept in store.pictures():
        path = tmp_path / "kept" / kept.name
        if path.read_bytes().endswith(b"broken"):
            path.write_bytes(b"")
    run(tmp_path / "data")
    assert pictures(tmp_path / "data") == {"unlabelled/whole"}
    assert "1 were deleted meanwhile, or damaged" in capsys.readouterr().out


def test_a_folder_with_other_files_is_left_alone(add: Add, tmp_path: Path) -> None:
    add(b"one")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "beach.jpg").write_bytes(b"mine")
    with pytest.raises(Refused, match="other files"):
        run(tmp_path / "photos")
    assert files(tmp_path / "photos") == {"beach.jpg": b"mine"}


def test_another_model_s_export_is_left_alone(add: Add, tmp_path: Path) -> None:
    add(b"one")
    add(b"two", model="letters")
    run(tmp_path / "data")
    before = files(tmp_path / "data")
    with pytest.raises(Refused, match="another model"):
        run(tmp_path / "data", model="letters")
    assert files(tmp_path / "data") == before


def test_without_a_store_it_says_how_to_keep_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DARKROOM_KEEP_IMAGES_URL")
    with pytest.raises(Refused, match="DARKROOM_KEEP_IMAGES_URL"):
        run(tmp_path / "data")


def test_a_link_in_the_folder_is_not_followed(add: Add, tmp_path: Path) -> None:
    add(b"one", label="1")
    run(tmp_path / "data")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / f"{'0' * 64}.png").write_bytes(b"mine")
    (tmp_path / "data" / "link").symlink_to(elsewhere)
    run(tmp_path / "data")
    assert (elsewhere / f"{'0' * 64}.png").exists()
