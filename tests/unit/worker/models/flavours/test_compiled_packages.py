"""AOTInductor packages: served where the setting allows native code, and told what they are compiled for before."""

import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.support.deferred_imports import deferred
from worker.models.errors import ModelError

from .conftest import SIDE, apart, network
from .test_matrix import TOLERANCE, expected, save_torch

torch = deferred("torch")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("torch")]
in_flavours = pytest.mark.skipif(
    find_spec("onnxscript") is None, reason="compiling takes 12 s of a core: in `make flavours`, which has onnxscript"
)
Load = Callable[..., Any]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network compiled here: some seconds of a C++ compiler."""
    example = torch.zeros(2, 3, SIDE, SIDE)
    program = torch.export.export(network(), (example,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    file = tmp_path_factory.mktemp("compiled") / "net.pt2"
    return Path(torch._inductor.aoti_compile_and_package(program, package_path=str(file)))


@pytest.fixture
def version(tmp_path: Path, package: Path) -> Path:
    """A version as people make one: the exported program's file is replaced."""
    path = save_torch(tmp_path / "model", network(), serialization_format="pt2")
    (path / "data" / "model.pt2").write_bytes(package.read_bytes())
    return path


def test_it_is_refused_unless_native_code_is_allowed(tmp_path: Path, load: Load) -> None:
    path = save_torch(tmp_path / "model", network(), serialization_format="pt2")
    # The members that torch._inductor.aoti_compile_and_package writes.
    with zipfile.ZipFile(path / "data" / "model.pt2", "w") as archive:
        archive.writestr("model/archive_format", "pt2")
        archive.writestr("model/data/aotinductor/model/cabc.wrapper.so", b"\x7fELF")
    with pytest.raises(ModelError, match="AOTInductor package, which is native code: set DARKROOM_PREDICT_NATIVE_CODE"):
        load(path)


@in_flavours
def test_it_answers_as_the_module_does_for_any_number_of_images(
    version: Path, load: Load, images: Any, batch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_PREDICT_NATIVE_CODE", "true")
    model = load(version)
    assert apart(model.predict(images), expected(network(), batch)) <= TOLERANCE
    alone = [output for image in images for output in model.predict([image])]
    assert apart(alone, expected(network(), batch)) <= TOLERANCE
    assert model.warnings == ()


@in_flavours
def test_a_shape_that_it_was_not_compiled_for_is_an_error_and_no_read_out_of_bounds(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from worker.models.flavours.compiled_packages import load_compiled  # noqa: PLC0415  imports torch

    monkeypatch.setenv("DARKROOM_PREDICT_NATIVE_CODE", "true")
    forward: Any = load_compiled(package, device="cpu")
    with pytest.raises(RuntimeError, match="unmatched dim value"):
        forward(torch.zeros(3, 3, 2 * SIDE, SIDE))


@pytest.mark.parametrize("count", [1, 3])
def test_it_computes_on_its_device_what_is_in_memory(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    from worker.models.flavours import compiled_packages  # noqa: PLC0415  imports torch

    def compiled(batch: Any) -> Any:
        assert batch.device.type == "meta"  # which stands for a GPU: its tensors are nowhere in memory
        return {"scores": torch.arange(len(batch) * 5.0).view(-1, 5)}

    monkeypatch.setenv("DARKROOM_PREDICT_NATIVE_CODE", "true")
    monkeypatch.setattr(compiled_packages, "_check_target", lambda *_, **__: None)
    monkeypatch.setattr("torch._inductor.aoti_load_package", lambda _: compiled)
    forward: Any = compiled_packages.load_compiled(Path("net.pt2"), device="meta")
    assert forward(torch.zeros(count, 3, SIDE, SIDE))["scores"].shape == (count, 5)


@in_flavours
@pytest.mark.parametrize(
    ("device", "target", "why"),
    [("cuda:0", None, "is compiled for cpu, and this worker has cuda"), ("cpu", "cuda", "is compiled for cuda")],
)
def test_it_is_told_what_it_is_compiled_for_before_its_code_is_loaded(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, target: str | None, why: str
) -> None:
    from worker.models.flavours.compiled_packages import load_compiled  # noqa: PLC0415  imports torch

    monkeypatch.setenv("DARKROOM_PREDICT_NATIVE_CODE", "true")
    file = package
    if target:
        file = tmp_path / "model.pt2"
        with zipfile.ZipFile(package) as original, zipfile.ZipFile(file, "w") as changed:
            for name in original.namelist():
                content = original.read(name)
                if name.endswith("_metadata.json"):
                    content = content.replace(b'"AOTI_DEVICE_KEY":"cpu"', f'"AOTI_DEVICE_KEY":"{target}"'.encode())
                    content = content.replace(b'"AOTI_DEVICE_KEY": "cpu"', f'"AOTI_DEVICE_KEY": "{target}"'.encode())
                changed.writestr(name, content)
    with pytest.raises(ModelError, match=why):
        load_compiled(file, device=device)
