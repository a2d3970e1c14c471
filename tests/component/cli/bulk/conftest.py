"""A stub gateway, a home, images to send, and `bulk` run against them."""

import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from cli.bulk.run import bulk
from cli.client import NO_PIPELINE
from tests.component.cli.bulk.runs import briefly
from tests.component.cli.bulk.stub_gateway import (
    BulkGateway,
    bulk_gateway,
)


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[BulkGateway]:
    with bulk_gateway() as server:
        monkeypatch.setenv("DARKROOM_URL", server.url)
        yield server


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with three images, and beside it an archive with two: two parts."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(b"%d" % number)
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        for name in ("x.png", "y.png"):
            archive.writestr(name, name)
    return folder


@pytest.fixture
def both(images: Path, tmp_path: Path) -> list[Path]:
    return [images, tmp_path / "more.zip"]


@pytest.fixture
def send(home: Path) -> Callable[..., int]:
    def send(
        *paths: Path,
        model: str | None = None,
        webhook: str | None = None,
        pipeline: Mapping[str, str | None] = NO_PIPELINE,
        out: Path | None = None,
        resume: bool = False,
    ) -> int:
        return bulk(home, paths, model=model, webhook=webhook, pipeline=pipeline, out=out, resume=resume, wait=briefly)

    return send
