"""A version whose model imports a package that is not installed, and that its requirements name by a wheel's path."""

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.registries import MlflowStore


def register_with_missing_package(store: "MlflowStore", folder: Path) -> None:
    """Register a version of `shades` that imports `shadesmath`, whose wheel is written into a folder."""
    wheel = folder / "shadesmath-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("shadesmath/__init__.py", "import numpy\ndef scores(n):\n    return numpy.full((n, 2), 0.5)\n")
        file.writestr("shadesmath-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: shadesmath\nVersion: 1\n")
        file.writestr("shadesmath-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("shadesmath-1.dist-info/RECORD", "")
    store.register_code(
        "import mlflow\n"
        "from mlflow.pyfunc import PythonModel\n"
        "import shadesmath\n"
        "class Shades(PythonModel):\n"
        "    def predict(self, context, model_input, params=None):\n"
        "        return shadesmath.scores(len(model_input))\n"
        "mlflow.models.set_model(Shades())\n",
        requirements=[f"shadesmath @ {wheel.as_uri()}"],
    )
