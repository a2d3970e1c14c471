"""One target under Atheris: `python -m tests.fuzz.child TARGET FOLDER… [libFuzzer's options]`."""

import sys

import atheris

with atheris.instrument_imports(include=["api", "shared", "python_multipart", "tarfile"]):
    from tests.fuzz import targets

if __name__ == "__main__":
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, lambda data: targets.run(name, data))
    atheris.Fuzz()
