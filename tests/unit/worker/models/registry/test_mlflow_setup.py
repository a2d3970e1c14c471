"""MLflow's files are read by libyaml, to the same values as by PyYAML's parser in Python."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from shared.settings import Registry
from worker.models.registry import mlflow_setup


def read_in_python(text: str) -> Any:
    """Read as `yaml.safe_load` does, which another test of this process may have led to libyaml already."""
    loader = yaml.SafeLoader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)


@pytest.fixture(scope="module", autouse=True)
def _configured() -> Iterator[None]:
    before = yaml.safe_load
    mlflow_setup._read_yaml_in_c.cache_clear()
    mlflow_setup.configure_mlflow_client(Registry())
    yield
    yaml.safe_load = before


@given(values)
def test_what_was_written_is_read(value: Any) -> None:
    text = yaml.safe_dump(value, default_flow_style=False)
    assert yaml.safe_load(text) == yaml.safe_load(io.StringIO(text)) == read_in_python(text) == value


@pytest.mark.parametrize("text", ["a: [1", "\t- a", "'", "!!python/name:os.system", "a: 2026-11-27T01:02:03Z"])
def test_any_text_is_read_or_refused_as_in_python(text: str) -> None:
    def outcome(read: Any) -> Any:
        try:
            return read(text)
        except yaml.YAMLError as error:
            return str(error)

    assert outcome(yaml.safe_load) == outcome(read_in_python)


def test_a_model_s_file_is_not_parsed_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    text = yaml.safe_dump({"labels": ["cat", "dog"]})
    monkeypatch.delattr(yaml, "SafeLoader")
    assert yaml.safe_load(text) == {"labels": ["cat", "dog"]}


READING = """
import sys
from shared.domain.identifiers import ModelName, VersionNumber
from shared.settings import Registry
from worker.models.registry.registry_reader import RegistryReader
reader = RegistryReader(Registry(url=sys.argv[1]))
if sys.argv[2:]:
    client = reader._client()
    client.create_registered_model("net")
    client.create_model_version("net", sys.argv[2])
reader.read(ModelName("net"))
print(reader.ready_version(ModelName("net"), VersionNumber("1")).number)
"""


@pytest.mark.slow
def test_a_registry_in_a_folder_is_read_without_another_database(tmp_path: Path) -> None:
    root = Path(__file__).parents[5]
    environment = {**os.environ, "PYTHONPATH": str(root), "MLFLOW_ALLOW_FILE_STORE": "true"}
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        environment.pop(name, None)
    here = tmp_path / "here"
    here.mkdir()
    registry = (tmp_path / "registry").as_uri()
    # The second reads what the first has written, as a worker does.
    for arguments in ((registry, tmp_path.as_uri()), (registry,)):
        command = [sys.executable, "-W", "ignore", "-c", READING, *arguments]
        done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        assert done.stdout.split() == ["1"]
    assert [*here.iterdir()] == []
