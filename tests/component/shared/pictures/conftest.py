"""The two kinds of store: a folder, and a bucket of a real S3 server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.pictures.opening import open_store
from shared.pictures.picture_store import PictureStore
from shared.settings import KeepImages
from tests.support.s3_server import S3Server, started_s3_server


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """SeaweedFS with an empty bucket."""
    with started_s3_server(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


# The server's start alone takes seconds.
@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PictureStore:
    """An empty store of either kind."""
    if request.param == "folder":
        return open_store(KeepImages(url=str(tmp_path / "kept")))
    server: S3Server = request.getfixturevalue("s3_server")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return open_store(KeepImages(url=f"s3://{server.bucket}/{tmp_path.name}", endpoint=server.endpoint))
