"""Dependencies: what is locked is what pyproject.toml allows, and what we reach into has an upper bound."""

import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WANTED = [
    Requirement(line) for line in chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
]  # fmt: skip
LOCKED = [Requirement(line) for line in (ROOT / "requirements.lock").read_text().splitlines()]
# Subclassed, or with private members in use.
REACHED_INTO = ("celery", "fastapi", "flower", "kombu", "redis", "starlette", "uvicorn", "uvloop")


def test_the_lock_names_versions_and_no_package_index() -> None:
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        assert re.fullmatch(r"[\w.-]+==(\d+!)?[\w.]+( ; .+)?", line), line


@pytest.mark.parametrize("wanted", [one for one in WANTED if one.name != "darkroom"], ids=lambda one: one.name)
def test_locked_versions_are_allowed_by_pyproject(wanted: Requirement) -> None:
    locked = [one for one in LOCKED if canonicalize_name(one.name) == canonicalize_name(wanted.name)]
    assert locked
    for one in locked:
        (exactly,) = one.specifier
        assert wanted.specifier.contains(exactly.version)


@pytest.mark.parametrize("name", REACHED_INTO)
def test_packages_whose_internals_are_used_have_an_upper_bound(name: str) -> None:
    (wanted,) = (one for one in WANTED if one.name == name)
    assert [bound for bound in wanted.specifier if bound.operator == "<"]


def test_gateway_and_services_do_not_depend_on_numpy_pillow_torch_or_mlflow() -> None:
    services = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["services"]]
    assert {Requirement(line).name for line in services}.isdisjoint({"numpy", "pillow", "torch", "mlflow"})
