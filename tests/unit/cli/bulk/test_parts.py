import os
import shutil
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.bulk import packing
from cli.bulk.packing import packed_part
from cli.bulk.parts import File, Mark, Part, Plan, Unusable, make_plan, split_into_parts


def write(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


def names(plan: Plan) -> list[str]:
    return [file.name for file in plan.files]


def a_file(name: str, size: int = 1, *, is_archive: bool = False) -> File:
    return File(f"/{name}", Mark(name, size, 0), is_archive)


def only_part(plan: Plan) -> Part:
    (part,) = split_into_parts(plan.files)
    return part


def test_names_are_paths_relative_to_the_common_parent(tmp_path: Path) -> None:
    write(tmp_path, "cats/a/1.png", "cats/2.png", "dogs/1.png", "other/3.png")
    assert names(make_plan([tmp_path / "cats"])) == ["cats/2.png", "cats/a/1.png"]
    assert names(make_plan([tmp_path / "dogs", tmp_path / "cats/a"])) == ["cats/a/1.png", "dogs/1.png"]
    assert names(make_plan([tmp_path / "cats/a/1.png"])) == ["1.png"]


def test_a_file_given_twice_is_sent_once(tmp_path: Path) -> None:
    write(tmp_path, "cats/1.png")
    assert names(make_plan([tmp_path / "cats", tmp_path / "cats/1.png", tmp_path / "cats/../cats"])) == ["cats/1.png"]


def test_clutter_is_omitted_and_counted_and_the_rest_is_sent(tmp_path: Path) -> None:
    write(tmp_path, "in/1.png", "in/notes.txt", "in/.DS_Store", "in/__MACOSX/1.png", "in/._1.png")
    plan = make_plan([tmp_path / "in"])
    assert names(plan) == ["in/1.png", "in/notes.txt"]
    assert plan.skipped == 3


def test_a_linked_file_is_followed_and_a_linked_folder_is_not(tmp_path: Path) -> None:
    write(tmp_path, "in/1.png", "elsewhere/2.png")
    (tmp_path / "in/2.png").symlink_to(tmp_path / "elsewhere/2.png")
    (tmp_path / "in/loop").symlink_to(tmp_path / "in")
    plan = make_plan([tmp_path / "in"])
    assert names(plan) == ["in/1.png", "in/2.png"]
    assert plan.links == 1
    assert plan.files[1].mark.size == len("elsewhere/2.png")


def test_a_dangling_link_is_reported_and_the_rest_is_sent(tmp_path: Path) -> None:
    write(tmp_path, "in/1.png")
    (tmp_path / "in/gone.png").symlink_to(tmp_path / "nothing")
    plan = make_plan([tmp_path / "in"])
    assert names(plan) == ["in/1.png"]
    assert plan.unread == [("in/gone.png", "not read", "No such file or directory")]


def test_the_home_and_the_results_file_are_not_sent(tmp_path: Path) -> None:
    write(tmp_path, "in/1.png", "in/.darkroom/state.json", "in/results.csv")
    left_out = [tmp_path / "in/.darkroom", tmp_path / "in/results.csv", tmp_path / "not-there"]
    assert names(make_plan([tmp_path / "in"], leave_out=left_out)) == ["in/1.png"]
    assert names(make_plan([tmp_path / "in/.darkroom"], leave_out=left_out)) == [".darkroom/state.json"]


@pytest.mark.parametrize("leave_out", [True, False])
def test_a_folder_that_goes_while_others_are_read_is_named_and_the_rest_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, leave_out: bool
) -> None:
    write(tmp_path, "in/1.png", "in/gone/2.png", "home/state.json")
    is_link = os.path.islink

    def goes(path: str) -> bool:  # asked of each folder that the one above it has listed
        if path.endswith("gone"):
            shutil.rmtree(path, ignore_errors=True)
        return is_link(path)

    monkeypatch.setattr(os.path, "islink", goes)
    plan = make_plan([tmp_path / "in"], leave_out=[tmp_path / "home"] if leave_out else [])
    assert names(plan) == ["in/1.png"]
    assert [failure.name for failure in plan.unread] == ["in/gone"]


def test_names_are_cleaned_as_the_gateway_does_and_stay_unique(tmp_path: Path) -> None:
    write(tmp_path, "in/a\x1b.png", "in/a.png", "in/b\\1.png")
    (tmp_path / "in" / os.fsdecode(b"\xff.png")).write_bytes(b"")
    assert names(make_plan([tmp_path / "in"])) == ["in/a.png", "in/a.png~", "in/b/1.png", "in/�.png"]


@pytest.mark.parametrize(
    ("given", "says"), [("none", "There is no .*none$"), ("empty", "nothing to send"), ("pipe", "neither a file")]
)
def test_nothing_to_send_is_reported_in_one_line(tmp_path: Path, given: str, says: str) -> None:
    write(tmp_path, "empty/.DS_Store")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Unusable, match=says):
        make_plan([tmp_path / given])


def test_an_archive_given_by_path_is_one_and_within_a_folder_a_file(tmp_path: Path) -> None:
    write(tmp_path, "in/1.png")
    with zipfile.ZipFile(tmp_path / "in/2.zip", "w") as archive:
        archive.writestr("x.png", b"x")
    (tmp_path / "cut.tar.gz").write_bytes(b"\x1f\x8b\x08\0\0\0\0\0\0\3")
    plan = make_plan([tmp_path / "in", tmp_path / "in/2.zip", tmp_path / "cut.tar.gz"])
    assert [(file.name, file.is_archive) for file in plan.files] == [
        ("cut.tar.gz", False),
        ("in/1.png", False),
        ("in/2.zip", True),
    ]
    assert not any(file.is_archive for file in make_plan([tmp_path / "in"]).files)


files = st.lists(st.builds(a_file, st.text(min_size=1), st.integers(0, 40), is_archive=st.booleans()))


@given(files=files, most_files=st.integers(1, 5), most_bytes=st.integers(1, 50))
def test_parts_hold_every_file_once_in_order_within_the_limits(
    files: list[File], most_files: int, most_bytes: int
) -> None:
    parts = list(split_into_parts(files, most_files=most_files, most_bytes=most_bytes))
    assert [file for part in parts for file in part.files] == files
    for part in parts:
        assert 1 <= len(part.files) <= most_files
        assert len(part.files) == 1 or sum(file.mark.size for file in part.files) <= most_bytes
        assert len(part.files) == 1 or not any(file.is_archive for file in part.files)


def test_files_left_after_the_first_parts_make_the_same_parts() -> None:
    files = [a_file(f"{number}.png", size=number % 7) for number in range(50)]
    parts = list(split_into_parts(files, most_files=8, most_bytes=20))
    rest = files[sum(len(part.files) for part in parts[:3]) :]
    assert list(split_into_parts(rest, most_files=8, most_bytes=20)) == parts[3:]


def test_a_part_is_an_uncompressed_zip_of_the_same_bytes_each_time(tmp_path: Path) -> None:
    part = only_part(make_plan([write(tmp_path / "in", "ä/1.png", "2.png")]))
    with packed_part(part) as first, packed_part(part) as second:
        assert first.archive.seek(0) == second.archive.seek(0)
        content = first.archive.read()
        assert content == second.archive.read()
        with zipfile.ZipFile(first.archive) as archive:
            assert [info.compress_type for info in archive.infolist()] == [zipfile.ZIP_STORED] * 2
            assert {name: archive.read(name) for name in archive.namelist()} == {
                "in/2.png": b"2.png",
                "in/ä/1.png": "ä/1.png".encode(),
            }


def test_files_that_changed_or_vanished_are_reported_and_the_rest_packed(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", "1.png", "2.png", "3.png", "4.docx", "5.zip")
    (folder / "4.docx").write_bytes(b"PK\x03\x04 and so on")
    part = only_part(make_plan([folder]))
    (folder / "1.png").write_bytes(b"another picture")
    (folder / "2.png").unlink()
    with packed_part(part) as found:
        assert [file.name for file in found.files] == ["in/3.png"]
        with zipfile.ZipFile(found.archive) as archive:
            assert archive.namelist() == ["in/3.png"]
        reasons = {failure.name: failure.reason for failure in found.unread}
    assert reasons["in/1.png"] == "it changed meanwhile"
    assert reasons["in/2.png"] == "No such file or directory"
    assert "give its own path" in reasons["in/4.docx"]
    assert "give its own path" in reasons["in/5.zip"]


def test_a_file_that_grows_while_it_is_read_is_not_sent(tmp_path: Path) -> None:
    path = tmp_path / "1.png"
    path.write_bytes(bytes(3 * packing.CHUNK))
    (file,) = make_plan([path]).files
    content = packing.file_content(file)
    next(content)
    with path.open("ab") as growing:
        growing.write(b"more")
    with pytest.raises(packing.Unread, match="it changed meanwhile"):
        list(content)


def test_an_archive_is_sent_unchanged_unless_it_was_modified(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.png", b"x")
    part = only_part(make_plan([path]))
    with packed_part(part) as found:
        assert found.archive.read() == path.read_bytes()
    path.write_bytes(b"")
    with packed_part(part) as found:
        assert found.files == ()
        assert found.unread == (("a.zip", "not read", "it changed meanwhile"),)
