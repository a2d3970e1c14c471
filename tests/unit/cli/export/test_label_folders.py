from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.export.label_folders import UNLABELLED, label_folder


@pytest.mark.parametrize(
    ("label", "folder"),
    [
        ("cat", "cat"),
        ("7", "7"),
        ("Große Katze", "Große Katze"),
        ("日本", "日本"),
        ("tabby, tabby cat", "tabby, tabby cat"),
        ("a/b", "a%2Fb"),
        ("../x", "%2E.%2Fx"),
        ("..", "%2E%2E"),
        (".", "%2E"),
        (".git", "%2Egit"),
        ("a\\b", "a%5Cb"),
        ("a:b*?<>|", "a%3Ab%2A%3F%3C%3E%7C"),
        ("50%", "50%25"),
        ("", "%"),
        ("con", "%63on"),
        ("NUL.txt", "%4EUL.txt"),
        ("unlabelled", "%75nlabelled"),
        ("manifest.json", "%6Danifest.json"),
        ("Labels.CSV", "%4Cabels.CSV"),
        ("a ", "a%20"),
        ("a.", "a%2E"),
        ("a\x00b\n", "a%00b%0A"),
        ("gnp\u202eexe", "gnp%E2%80%AEexe"),
        ("\ud800", "%ED%A0%80"),
        ("~", "%7E"),
    ],
)
def test_a_label_has_a_safe_folder(label: str, folder: str) -> None:
    assert label_folder(label) == folder


def test_long_labels_stay_apart() -> None:
    first, second = label_folder("x" * 5000), label_folder("x" * 5001)
    assert first != second
    assert len(first.encode()) <= 120


@given(st.lists(st.text(max_size=200), min_size=2, max_size=2, unique=True))
def test_different_labels_have_different_folders_inside_the_export(labels: list[str]) -> None:
    folders = [label_folder(label) for label in labels]
    assert folders[0] != folders[1]
    for folder in folders:
        assert Path(folder).name == folder
        assert folder not in ("", ".", "..", UNLABELLED)
        assert len(folder.encode("utf-8")) <= 120
        assert not folder.startswith((".", " "))
