"""Each process of a parallel run collects every test: a module that imports torch costs each of them seconds."""

import pytest


def test_collecting_imports_no_heavy_library(
    request: pytest.FixtureRequest, imported_while_collecting: frozenset[str]
) -> None:
    if any("integration" in item.path.parts for item in request.session.items):
        pytest.skip("the registry follower, which integration tests annotate with, imports torch")
    heavy = {"torch", "torchvision", "mlflow", "sklearn", "pandas"} & imported_while_collecting
    assert heavy == set(), "tests.support.deferred_imports imports a module at its first use"
