"""Try a model version in a process of the worker's code, on this machine, in this environment or one of its own."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from cli.home import command_line
from cli.models.registered import registered_model, telling
from cli.models.separate_environment import environment_for
from cli.registry import connect, registry_environment
from cli.stack.supervisor.programs import ending_with_this_process
from cli.terminal.interrupts import terminated_as_interrupted
from cli.terminal.lines import say
from cli.terminal.refused import Refused
from shared import settings
from shared.domain.errors import InvalidParameter
from shared.domain.model_reference import Reference
from shared.domain.model_route import CHAMPION
from shared.observability.printable import printable_lines

_PACKAGE_MISSING: Final = 3
"""Exit status of `worker.models.check` for a module that can't be imported."""
_FAILED: Final = 1
_SHOWN: Final = 8192
"""Bytes of what the process printed that are shown where it fails: a traceback, or where its threads hang."""
_TOLD: Final = 60
"""Seconds after which a check that goes on is told of, again and again."""
_SHOWING: Final = 2
"""Seconds that a process that hangs has to show where."""


def check(home: Path, text: str, *, image: Path | None, install: bool) -> None:
    """Check what a reference names and print what was found; raises SystemExit with 1 where it can't be served.

    Its process ends with this one, however that ends.
    """
    if image is not None and not image.is_file():
        raise Refused(f"{image} is not a file.")
    with terminated_as_interrupted():
        code = _checked(home, text, image=image, install=install)
    if code:
        raise SystemExit(1)


def _checked(home: Path, text: str, *, image: Path | None, install: bool) -> int:
    """Run the process that checks; return its exit status, of which 0 says that a worker would serve the version."""
    uri, environment = _model_uri(home, text)
    python = Path(sys.executable)
    if install:
        python = environment_for(home, uri, environment)
    # -P: without it a module in the current folder would be found here, and not where the workers run.
    command = [str(python), "-P", "-W", "ignore", "-m", "worker.models.check", uri]
    if image is not None:
        command += ["--image", str(image.resolve())]
    # A file, not a pipe: nobody has to read it meanwhile.
    with tempfile.TemporaryFile() as printed:
        code = _FAILED
        try:
            code = _run(command, uri, environment, printed)
        finally:
            if code:
                _show_end(printed)
    if code < 0:
        raise Refused(f"The process that loaded {uri} was killed by signal {-code}: mostly for lack of memory.")
    if code == _PACKAGE_MISSING and not install:
        hint = command_line(f"models check {text} --install", home)
        say(f"Try it in an environment that has the model's requirements: {hint}")
    return code


def _show_end(printed: BinaryIO) -> None:
    """Show the end of what the process printed: why it failed, and what libraries said before."""
    printed.seek(max(0, printed.seek(0, os.SEEK_END) - _SHOWN))
    sys.stderr.write(printable_lines(printed.read().decode(errors="replace")))
    sys.stderr.flush()


def _run(command: list[str], uri: str, environment: dict[str, str], printed: BinaryIO) -> int:
    """Run the process that checks and return its exit status; raises Refused where it takes longer than a worker's may.

    `printed` gets its standard error, which has whatever libraries print: only where the check fails does that help.
    A process that is ended shows first where its threads are.
    """
    predict = settings.read(settings.Predict)
    longest = predict.load_timeout + predict.timeout
    end = time.monotonic() + longest.total_seconds()
    command = list(ending_with_this_process(command))
    with subprocess.Popen(command, env=os.environ | environment, stderr=printed) as process:  # noqa: S603  our own
        try:
            while (left := end - time.monotonic()) > 0:
                with suppress(subprocess.TimeoutExpired):
                    return process.wait(min(left, _TOLD))
                if left > _TOLD:
                    say(f"Not done yet; it has {left - _TOLD:.0f} s more.")
            process.send_signal(signal.SIGUSR1)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_SHOWING)
        finally:
            process.kill()
    raise Refused(
        f"A worker could not serve {uri}: after {longest.total_seconds():.0f} s it was not loaded, or had not computed "
        "its photographs (DARKROOM_PREDICT_LOAD_TIMEOUT and DARKROOM_PREDICT_TIMEOUT)."
    )


def _model_uri(home: Path, text: str) -> tuple[str, dict[str, str]]:
    """Return MLflow's URI of what a reference names, and the variables with which a process reaches its registry.

    A folder needs no registry. Raises Refused for a reference to nothing.
    """
    folder = Path(text)
    if folder.is_dir():
        if not (folder / "MLmodel").is_file():
            raise Refused(f"{text} is no logged model: it has no file MLmodel.")
        return str(folder.resolve()), {}
    environment = registry_environment(home)
    scheme, separator, _ = text.partition(":/")
    if separator and scheme != "models":
        return text, environment
    try:
        reference = Reference.parse_model(text)
    except InvalidParameter as error:
        raise Refused(error.detail) from None
    if reference.name is None:
        raise Refused(f"{text!r} names no model.")
    if text.startswith("models:/m-") and reference.version is None:
        return text, environment  # a logged model, which MLflow finds by its id
    model = registered_model(connect(home), reference.name)
    if reference.version is not None:
        with telling(home):
            number = model.ready_version(reference.version)
    else:
        alias = reference.alias or CHAMPION
        if alias not in model.aliases:
            there = ", ".join([*sorted(model.aliases), *(f"version {number}" for number in model.ready())])
            raise Refused(f"{model.name} has no alias {alias}. It has: {there or 'nothing'}.")
        number = model.aliases[alias]
    return f"models:/{model.name}/{number}", environment
