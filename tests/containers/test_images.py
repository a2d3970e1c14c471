"""What the Dockerfiles make: each line executed unchanged, then inspected as a container would run it."""

import re
import subprocess
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from tests.containers.building import BuildFailed, Image
from tests.containers.composition import REPOSITORY

if TYPE_CHECKING:
    from conftest import Images

# What an image can't do without, and what it must not carry.
EXPECTED = {
    "api": (
        ("api.main", "shared.storage.migrate", "shared.observability.tracing.spans"),
        ("torch", "mlflow", "numpy", "PIL", "worker", "cli"),
    ),
    "services": (
        (
            "worker.roles.record",
            "worker.roles.upkeep",
            "worker.roles.webhooks",
            "worker.tasks",
            "worker.health",
            "shared.observability.tracing.spans",
            "flower",
            "boto3",
        ),
        ("torch", "mlflow", "numpy", "PIL", "api", "cli"),
    ),
    "registry": (("mlflow.server", "boto3", "psycopg2"), ("torch", "api", "worker", "shared", "cli")),
    "predict": (
        (
            "worker.tasks",
            "worker.models.following.registry_follower",
            "worker.health",
            "shared.observability.tracing.spans",
            "torchvision",
            "cli.demo.digits",
            "boto3",
        ),
        ("api", "flower"),
    ),
}
SOURCES = {
    "api": {"api", "shared"},
    "services": {"shared", "worker"},
    "registry": set(),
    "predict": {"cli", "darkroom_contract.py", "shared", "worker"},
}


@pytest.fixture(params=EXPECTED)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def image(name: str, images: "Images") -> Image:
    return images.get("Dockerfile.api") if name == "api" else images.get("Dockerfile.worker", name)


def python(image: Image, code: str, scratch: Path) -> list[str]:
    """Run Python code as the image's user and return the lines it wrote."""
    return image.run(["python", "-W", "ignore", "-c", code], scratch).splitlines()


def installed(image: Image, scratch: Path) -> dict[str, str]:
    """Return the distributions in an image and their versions."""
    code = "from importlib.metadata import distributions as all\nfor one in all(): print(one.name, one.version)"
    return {
        re.sub(r"[-_.]+", "-", name).lower(): version for name, version in map(str.split, python(image, code, scratch))
    }


def locked() -> dict[str, set[str]]:
    """Return the versions that the lock allows: more than one where they depend on the Python."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^(\S+)==([^\s;]+)", (REPOSITORY / "requirements.lock").read_text(), re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


def test_an_image_imports_its_programs_and_has_no_heavier_packages(name: str, image: Image, tmp_path: Path) -> None:
    there, absent = EXPECTED[name]
    code = f"""
import importlib.util
for name in {there}: importlib.import_module(name)
print([name for name in {absent} if importlib.util.find_spec(name)])
"""
    assert python(image, code, tmp_path)[-1] == "[]"


def test_the_gateways_app_can_be_created(images: "Images", tmp_path: Path) -> None:
    code = """
from api.main import create_app
from api.state.draining import Draining
print(create_app(Draining()).title)
"""
    assert python(images.get("Dockerfile.api"), code, tmp_path) == ["Darkroom"]


def test_torch_has_cuda_by_default(images: "Images", tmp_path: Path) -> None:
    code = "import platform, torch; print(platform.machine() != 'x86_64' or torch.version.cuda is not None)"
    assert python(images.get("Dockerfile.worker", "predict"), code, tmp_path)[-1] == "True"


def test_an_image_has_only_locked_versions(image: Image, tmp_path: Path) -> None:
    lock = locked()
    here = installed(image, tmp_path)
    del here["pip"], here["darkroom"]
    assert {name: version for name, version in here.items() if version not in lock.get(name, ())} == {}


def test_an_image_has_only_the_sources_it_runs(name: str, image: Image) -> None:
    found = {path.name for path in (image.root / "app").iterdir()} - {"__pycache__"}
    assert found == SOURCES[name]
    forbidden = [p for p in (image.root / "app").rglob("*") if p.name in (".git", ".env", ".venv", "tests")]
    assert forbidden == []


def test_an_images_sources_are_precompiled(image: Image) -> None:
    sources = [path for path in (image.root / "app").rglob("*.py") if "migrations/versions" not in str(path)]
    assert [path for path in sources if not list((path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"))] == []


def test_an_images_user_cannot_change_its_files(image: Image) -> None:
    assert image.uid > 0
    find_writable = (
        "find",
        image.root / "app",
        image.root / "venv",
        "!",
        "-type",
        "l",
        "(",
        "!",
        "-uid",
        "0",
        "-o",
        "-perm",
        "/o+w",
        ")",
    )
    assert subprocess.run(find_writable, check=True, capture_output=True, text=True).stdout == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"DEVICE": "cpu"}, "DEVICE=cpu needs --build-arg TORCH_INDEX_URL=…"),
        ({"DEVICE": "tpu"}, "DEVICE is cuda or cpu, not tpu"),
    ],
)
def test_a_build_with_something_missing_fails_with_the_reason(
    arguments: dict[str, str], words: str, images: "Images", tmp_path: Path
) -> None:
    images.get("Dockerfile.worker", "predict")
    with pytest.raises(BuildFailed) as failed:
        images.worker_builder(tmp_path, **arguments).build("predict-dependencies")
    assert words in failed.value.said


class Index:
    """A package index on loopback with a torch and a torchvision of its own making."""

    def __init__(self, folder: Path, *, requires: str) -> None:
        versions = {name: locked()[name].copy().pop() for name in ("torch", "torchvision")}
        for name, version in versions.items():
            needed = requires if name == "torch" else f"torch=={versions['torch']}"
            _make_wheel(folder / name, name=name, version=f"{version}+cpu", requires=needed)
        handler = partial(_Quiet, directory=str(folder))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _make_wheel(folder: Path, *, name: str, version: str, requires: str) -> None:
    folder.mkdir(parents=True)
    file = f"{name}-{version}-py3-none-any.whl"
    information = f"{name}-{version}.dist-info"
    lines = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Dist: {requires}\n"
    with zipfile.ZipFile(folder / file, "w") as wheel:
        wheel.writestr(f"{name}/__init__.py", f"__version__ = {version!r}\n")
        wheel.writestr(f"{information}/METADATA", lines)
        wheel.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{information}/RECORD", "")
    (folder / "index.html").write_text(f'<a href="{file.replace("+", "%2B")}">{file}</a>')


@pytest.fixture
def index(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Index]:
    index = Index(tmp_path / "index", requires=request.param)
    yield index
    index.close()


@pytest.mark.parametrize("index", ["jinja2"], indirect=True)
def test_a_cpu_build_takes_torch_without_cuda_from_the_named_index(
    index: Index, images: "Images", workshop: Path, tmp_path: Path
) -> None:
    images.get("Dockerfile.worker", "predict")
    builder = images.worker_builder(workshop / "cpu", DEVICE="cpu", TORCH_INDEX_URL=index.url)
    found = installed(builder.build("predict"), tmp_path)
    assert found["torch"].endswith("+cpu")
    assert found["torchvision"].endswith("+cpu")
    assert [name for name in found if re.match("nvidia|cuda|triton", name)] == []
    assert {"mlflow", "celery", "scikit-learn"} <= set(found)


@pytest.mark.parametrize("index", ["nvidia-cublas"], indirect=True)
def test_a_cpu_build_refuses_a_torch_that_requires_cuda(index: Index, images: "Images", tmp_path: Path) -> None:
    images.get("Dockerfile.worker", "predict")
    builder = images.worker_builder(tmp_path / "built", DEVICE="cpu", TORCH_INDEX_URL=index.url)
    with pytest.raises(BuildFailed) as failed:
        builder.build("predict-dependencies")
    assert "has no torch for CPUs" in failed.value.said
