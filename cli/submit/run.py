"""Submit image files, and print a line for each."""

import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from cli.addresses import api_key, gateway_url
from cli.client import NO_PIPELINE, Client, Declined, Prediction
from cli.given_files import MIB, read_given
from cli.terminal.lines import say
from cli.terminal.names import sent, shown
from cli.terminal.outputs import output_line
from shared.domain.file_names import showable_name

AT_ONCE: Final = 8
LARGEST_IMAGE: Final = 128 * MIB
"""Bytes that are read of a file; a gateway's own limit is 20 MiB where nobody has raised it."""


def submit(
    home: Path,
    files: Sequence[Path],
    *,
    model: str | None,
    wait: bool,
    webhook: str | None,
    pipeline: Mapping[str, str | None] = NO_PIPELINE,
) -> None:
    """Submit files to the gateway that is set, or that runs on this home; exit 1 where one failed.

    `pipeline` has the form's fields of an ensemble or a chain.
    """
    with Client(gateway_url(home), home=home, api_key=api_key()) as client:
        all_well = submit_files(
            client,
            files,
            model=model,
            wait=wait,
            webhook=webhook,
            pipeline=pipeline,
            say_line=lambda line: say(line.text),
        )
    if not all_well:
        sys.exit(1)


@dataclass(frozen=True, slots=True)
class Line:
    """The line printed for one file."""

    text: str
    failed: bool


def submit_files(
    client: Client,
    files: Sequence[Path],
    *,
    model: str | None,
    wait: bool,
    webhook: str | None,
    say_line: Callable[[Line], None],
    pipeline: Mapping[str, str | None] = NO_PIPELINE,
) -> bool:
    """Submit each file and print its line, in the order given; return whether all succeeded."""
    width = max(len(shown(file)) for file in files)
    one = partial(_submit_one, client, model=model, wait=wait, webhook=webhook, pipeline=pipeline, width=width)
    all_well = True
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for line in pool.map(one, files):
            say_line(line)
            all_well = all_well and not line.failed
    return all_well


def _submit_one(
    client: Client,
    file: Path,
    *,
    model: str | None,
    wait: bool,
    webhook: str | None,
    pipeline: Mapping[str, str | None],
    width: int,
) -> Line:
    name = f"{shown(file):<{width}}"
    try:
        content = read_given(file, most=LARGEST_IMAGE)
        prediction = client.submit(
            content,
            filename=showable_name(sent(file.name)),
            model=model,
            wait=wait,
            webhook=webhook,
            pipeline=pipeline,
        )
    except OSError as error:
        return Line(f"{name}  not sent    {error.strerror or error}", failed=True)
    except Declined as error:
        return Line(f"{name}  not taken   {shown(error)}", failed=True)
    return Line(f"{name}  {prediction['id']}  {_outcome(prediction)}", prediction["status"] in ("failed", "canceled"))


def _outcome(prediction: Prediction) -> str:
    """Return the status, followed by the output in a line, or by the error."""
    status, output = prediction["status"], prediction["output"]
    if status != "succeeded":
        return f"{status}  {shown(prediction['error'])}" if prediction["error"] else str(status)
    return f"{status}  {shown(output_line(output))}"
