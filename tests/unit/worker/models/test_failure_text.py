"""Real exceptions of torch, MLflow, scikit-learn and Python: what is kept of them is what helps."""

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.deferred_imports import deferred
from worker.models.errors import ModelError, ModelUnavailable
from worker.models.failure_text import LONGEST, failure_text, one_line
from worker.models.missing_packages import note_missing_package
from worker.models.model_folder import ModelFolder

torch = deferred("torch")
nn = deferred("torch.nn")
mlflow_models = deferred("mlflow.models.utils")
ensemble = deferred("sklearn.ensemble")
mlflow_types = deferred("mlflow.types")

pytestmark = pytest.mark.xdist_group("torch")  # one process imports torch, MLflow and scikit-learn
ARRAY = np.random.default_rng(0).random((2, 3, 64, 64), np.float32)


class InMain:
    """Pickled as if a notebook had defined it."""


def mismatched_weights() -> None:
    nn.Linear(48, 10).load_state_dict(nn.Linear(48, 5).state_dict())


def too_many_mismatches() -> None:
    nn.Sequential(*(nn.Linear(3, 3) for _ in range(50))).load_state_dict({})


def wrong_batch_size() -> None:
    torch.export.export(nn.Linear(4, 2), (torch.zeros(1, 4),)).module()(torch.zeros(2, 4))


def in_torch_script() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(nn.Linear(4, 2))(torch.zeros(1, 5))


def of_another_schema() -> None:
    spec = mlflow_types.TensorSpec(np.dtype("float32"), (-1, 3, 32, 32))
    mlflow_models._enforce_schema(ARRAY, mlflow_types.Schema([spec]))


def echoing_a_tensor() -> None:
    raise ValueError(f"can't use {torch.from_numpy(ARRAY)} here")


def echoing_an_array() -> None:
    raise ValueError(f"can't use {ARRAY!r} here")


def echoing_a_list() -> None:
    raise ValueError(f"can't use {ARRAY.tolist()} here")


def wrong_features() -> None:
    ensemble.RandomForestClassifier(2).fit(np.eye(4), [0, 1, 0, 1]).predict(np.zeros((1, 5)))


def without_a_text() -> None:
    raise NotImplementedError


def caused() -> None:
    try:
        _ = {}["fc.weight"]
    except KeyError as error:
        raise RuntimeError("Model could not be loaded, see above") from error


def caused_by_what_it_repeats() -> None:
    cause = ValueError("no labels")
    raise ModelError(f"ValueError: {cause}") from cause


def missing_module() -> None:
    import no_such_package.layers  # noqa: F401, PLC0415


def pickled_in_main() -> None:
    pickle.loads(pickle.dumps(InMain, 0).replace(InMain.__module__.encode(), b"__main__"))  # noqa: S301


def unavailable() -> None:
    raise ModelUnavailable("version 3 was replaced by another model")


def coloured() -> None:
    raise OSError("\x1b[1mno\x00 file\x1b[0m\n\n  here \ud800")


@pytest.mark.parametrize(
    ("raises", "told", "left_out"),
    [
        (mismatched_weights, ["size mismatch for weight", "size mismatch for bias", "torch.Size([10, 48])"], ["\t"]),
        (too_many_mismatches, ['Missing key(s) in state_dict: "0.weight"', '"49.bias"'], []),
        (wrong_batch_size, ["AssertionError: Guard failed", "size()[0] == 1"], []),
        (in_torch_script, ["mat1 and mat2 shapes cannot be multiplied (1x5 and 4x2)"], []),
        (of_another_schema, ["Shape of input (2, 3, 64, 64) does not match expected shape (-1, 3, 32, 32)"], []),
        (echoing_a_tensor, ["ValueError: can't use tensor([[", "here"], [f"{ARRAY[0, 0, 1, 1]:.4f}"]),
        (echoing_an_array, ["ValueError: can't use array([[", "here"], [f"{ARRAY[0, 0, 1, 1]}"]),
        (echoing_a_list, ["ValueError: can't use [[", "here"], [f"{ARRAY[0, 0, 0, 2]}"]),
        (wrong_features, ["X has 5 features", "expecting 4 features"], []),
        (without_a_text, ["test_failure_text.py:", "raise NotImplementedError"], []),
        (caused, ["RuntimeError: Model could not be loaded", "because of KeyError: 'fc.weight'"], []),
        (caused_by_what_it_repeats, ["ModelError: ValueError: no labels"], ["because of"]),
        (missing_module, ["No module named 'no_such_package'", "install the package", "code_paths"], []),
        (pickled_in_main, ["InMain was defined in a notebook or script", "pt2"], []),
        (unavailable, ["version 3 was replaced"], ["ModelUnavailable"]),
        (coloured, ["OSError: no file here ?"], ["\x1b", "\x00"]),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_what_helps_of_an_exception_is_told_in_one_line(
    raises: Callable[[], None], told: list[str], left_out: list[str]
) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011  each row has another class
        raises()
    text = failure_text(caught.value)
    assert len(text) <= LONGEST
    assert len(text.splitlines()) == 1
    assert [part for part in told if part not in text] == []
    assert [part for part in left_out if part in text] == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("timm", "timm==1.0.3"),
        ("timm.models", "timm==1.0.3"),
        ("cv2", "opencv-python-headless"),
        ("Foo_bar", "foo.bar>=2"),
    ],
)
def test_a_missing_package_is_told_with_the_line_that_names_it(tmp_path: Path, module: str, line: str) -> None:
    (tmp_path / "requirements.txt").write_text("mlflow==3.1\ntimm==1.0.3\nopencv-python-headless\nfoo.bar>=2\n")
    error = ModuleNotFoundError(f"No module named {module!r}", name=module)
    note_missing_package(error, tmp_path)
    text = failure_text(error)
    assert text.endswith(
        f"the model's requirements.txt names {line}; install it where the workers run: pip install '{line}'"
    )


def test_no_requirement_is_told_where_none_names_the_module(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("timm==1.0.3\n")
    for error in (ModuleNotFoundError("No module named 'own'", name="own"), ImportError("no DLL"), ValueError("x")):
        note_missing_package(error, tmp_path)
        note_missing_package(error, tmp_path / "nowhere")
        assert not hasattr(error, "__notes__")


def test_exceptions_that_cause_each_other_are_told_once() -> None:
    first, second = ValueError("one"), ValueError("two")
    first.__cause__, second.__cause__ = second, first
    assert failure_text(first) == "ValueError: one, because of ValueError: two"


def test_a_text_of_any_length_becomes_one_line() -> None:
    assert one_line("a\n\tb\x00") == "a b"
    assert one_line(" \n") == "no reason given"
    long = one_line("begin " + "x" * 1_000_000)
    assert (len(long), long[:5]) == (LONGEST, "begin")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("No such file: '{folder}/data/model.pth'", "No such file: 'data/model.pth'"),
        ('No config in "{folder}"', 'No config in "the version\'s folder"'),
        ("file://{folder}/a b, {folder}: damaged", "file://a b, the version's folder: damaged"),
        ("[{folder}/labels.txt]", "[labels.txt]"),
        ("/data/darkroom/labels.txt", "/data/darkroom/labels.txt"),
    ],
)
def test_where_this_worker_keeps_a_version_is_not_told(text: str, told: str) -> None:
    folder = ModelFolder()
    try:
        assert one_line(text.format(folder=folder.path)) == told
        assert failure_text(ValueError(text.format(folder=folder.path))) == f"ValueError: {told}"
    finally:
        folder.delete()
