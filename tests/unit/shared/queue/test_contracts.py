"""The contract that keeps the gateway out of Redis names every module of the queue but the producer's."""

import tomllib
from pathlib import Path

import shared.queue

CONTRACT = "The gateway reaches Redis through the queue's producer alone"


def test_the_gateway_may_import_only_the_producer() -> None:
    folder = Path(shared.queue.__file__).parent
    modules = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    written = tomllib.loads((folder.parents[1] / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (contract,) = (one for one in written if one["name"] == CONTRACT)
    forbidden = {f"shared.queue.{module}" for module in modules - {"__init__", "producer"}}
    assert set(contract["forbidden_modules"]) == {"redis", *forbidden}
