"""Each process of a parallel run collects every test: a module that imports torch costs each of them seconds."""


def test_collecting_imports_no_heavy_library(imported_while_collecting: frozenset[str]) -> None:
    heavy = {"torch", "torchvision", "mlflow", "sklearn", "pandas"} & imported_while_collecting
    assert heavy == set(), "tests.support.deferred_imports imports a module at its first use"
