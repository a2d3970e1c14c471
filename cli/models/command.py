"""`darkroom models`, as typer reads it."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Home

_VERSION_HELP = (
    "The version's number, `latest` (the newest that is ready), `NAME:3`, `models:/NAME/3` or `NAME@alias`. Or what "
    "was logged, `runs:/ID/PATH` or `models:/m-ID`, which is registered first where it is not."
)

Name = Annotated[str, typer.Argument(help="The model's name, as `models list` shows it.", metavar="NAME")]

Version = Annotated[str, typer.Argument(help=_VERSION_HELP, metavar="VERSION")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until workers serve it, or can't load it.")]

models = typer.Typer(
    help="Which models and versions serve: show, check, add, promote, roll back, retire.", no_args_is_help=True
)


@models.command("list")
def list_models(home: Home = None) -> None:
    """List the models: champion, workers, images that wait, and why one does not serve."""
    from cli.home import find_home
    from cli.models import run

    run.list_models(find_home(home))


@models.command()
def show(name: Name, home: Home = None) -> None:
    """Show one model: its versions, what they answer, the traffic, warnings, and why a version does not serve."""
    from cli.home import find_home
    from cli.models import run

    run.show_model(find_home(home), name)


@models.command()
def add(  # noqa: PLR0913, PLR0917  typer reads the options from the signature
    name: Annotated[str, typer.Argument(help="The model's name in the registry; made if missing.", metavar="NAME")],
    torchvision: Annotated[str | None, typer.Option(help="An architecture of torchvision, such as resnet50.")] = None,
    timm: Annotated[str | None, typer.Option(help="An architecture of timm, which has to be installed.")] = None,
    onnx: Annotated[Path | None, typer.Option(help="An ONNX file.")] = None,
    weights: Annotated[Path | None, typer.Option(help="A state_dict saved by torch.save.")] = None,
    random: Annotated[
        bool, typer.Option("--random", help="Random weights, to try the commands without a trained model.")
    ] = False,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="A label a line, in the order of the scores; of most detectors of torchvision the first is the "
            "background.",
            show_default="the preset's: ImageNet's",
        ),
    ] = None,
    task: Annotated[str | None, typer.Option(help="What it computes.", show_default="the preset's")] = None,
    size: Annotated[
        str | None,
        typer.Option(help="The input's side in pixels, or HEIGHTxWIDTH.", show_default="the preset's, the graph's"),
    ] = None,
    pad: Annotated[
        str | None,
        typer.Option(
            help="Keep a picture's proportions, with a border: center (on all sides) or end.", metavar="WHERE"
        ),
    ] = None,
    fill: Annotated[int | None, typer.Option(help="The border's grey level.", show_default="0: black")] = None,
    mode: Annotated[str | None, typer.Option(help="The channels' order: RGB, BGR or L.", show_default="RGB")] = None,
    raw_boxes: Annotated[
        str | None,
        typer.Option(help="The layout of a detector's raw head: yolov5, yolov8 or yolov10.", metavar="LAYOUT"),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="The lowest score that counts.", min=0, max=1, show_default="0.5")
    ] = None,
    home: Home = None,
) -> None:
    """Register a known architecture with your weights, or an ONNX file, with the metadata that workers need."""
    from cli.home import find_home
    from cli.models.add import Wanted, add

    wanted = Wanted(
        torchvision=torchvision,
        timm=timm,
        onnx=onnx,
        weights=weights,
        random=random,
        labels=labels,
        task=task,
        size=size,
        pad=pad,
        fill=fill,
        mode=mode,
        raw_boxes=raw_boxes,
        threshold=threshold,
    )
    add(find_home(home), name, wanted)


@models.command()
def check(
    model: Annotated[
        str,
        typer.Argument(
            help="`models:/NAME/VERSION`, `NAME:VERSION`, `NAME@ALIAS`, `runs:/ID/model`, or the folder of a logged "
            "model; a NAME alone means its champion.",
            metavar="MODEL",
        ),
    ],
    image: Annotated[Path | None, typer.Option(help="An image whose output is shown.")] = None,
    install: Annotated[
        bool,
        typer.Option("--install", help="Install the model's requirements into an environment of its own, check there."),
    ] = False,
    home: Home = None,
) -> None:
    """Load a version as a worker does and show its contract, speed and memory; exit 1 and say why it can't be served.

    This runs the model's code on this machine.
    """
    from cli.home import find_home
    from cli.models.check import check

    check(find_home(home), model, image=image, install=install)


@models.command()
def promote(
    name: Name,
    version: Version,
    wait: Wait = True,
    home: Home = None,
) -> None:
    """Make a version the champion, which serves requests that name none."""
    from cli.home import find_home
    from cli.models import aliases

    aliases.promote(find_home(home), name, version, wait=wait)


@models.command()
def rollback(name: Name, wait: Wait = True, home: Home = None) -> None:
    """Undo the last promotion: its champion before serves again; where none is noted, the next lower version does."""
    from cli.home import find_home
    from cli.models import aliases

    aliases.rollback(find_home(home), name, wait=wait)


@models.command()
def challenger(
    name: Name,
    version: Annotated[str, typer.Argument(help=_VERSION_HELP, metavar="[VERSION]")] = "latest",
    percent: Annotated[int, typer.Option(help="Its share of the requests that name no version.", min=0, max=100)] = 10,
    off: Annotated[bool, typer.Option("--off", help="End it: the champion gets all requests again.")] = False,
    wait: Wait = True,
    home: Home = None,
) -> None:
    """Give a version a share of the traffic beside the champion."""
    from cli.home import find_home
    from cli.models import aliases

    if off:
        aliases.end_challenger(find_home(home), name)
    else:
        aliases.challenger(find_home(home), name, version, percent=percent, wait=wait)


@models.command()
def keep(
    name: Name,
    which: Annotated[
        str,
        typer.Argument(help="`all`, or any of `5%`, `below 0.6`, `disagree`, with commas.", metavar="[WHICH]"),
    ] = "",
    off: Annotated[bool, typer.Option("--off", help="End it, as `off` does; what is kept stays.")] = False,
    home: Home = None,
) -> None:
    """Keep some of a model's pictures to learn from, as their senders allow; `export` writes them into a folder."""
    from cli.home import find_home
    from cli.models import keeping

    if bool(which) == off:
        raise typer.BadParameter("say which pictures, or --off")
    keeping.keep(find_home(home), name, "off" if off else which)


@models.command()
def shadow(
    name: Name,
    version: Annotated[str, typer.Argument(help=_VERSION_HELP, metavar="[VERSION]")] = "latest",
    percent: Annotated[int, typer.Option(help="Its share of the champion's images.", min=0, max=100)] = 100,
    off: Annotated[bool, typer.Option("--off", help="End it; what it predicted stays on record.")] = False,
    wait: Wait = True,
    home: Home = None,
) -> None:
    """Let a version predict a share of the champion's images too, after the answer; clients never get its outputs."""
    from cli.home import find_home
    from cli.models import aliases

    if off:
        aliases.end_shadow(find_home(home), name)
    else:
        aliases.shadow(find_home(home), name, version, percent=percent, wait=wait)


@models.command()
def canary(  # noqa: PLR0913, PLR0917  typer reads the options from the signature
    name: Name,
    version: Annotated[str, typer.Argument(help=_VERSION_HELP, metavar="[VERSION]")] = "latest",
    steps: Annotated[str, typer.Option(help="Shares in per cent, rising, the last one 100.")] = "5,25,50,100",
    every: Annotated[str, typer.Option(help="How long each step lasts at least: 30s, 10m, 2h.", metavar="AGE")] = "10m",
    max_errors: Annotated[str, typer.Option(help="Share of images that it may fail, such as 1%.")] = "1%",
    max_p99: Annotated[str, typer.Option(help="How many times the champion's p99 its own may be.")] = "1.5x",
    min_agreement: Annotated[
        str | None,
        typer.Option(help="Share of images on which it agrees with the champion, as shadow, such as 97%."),
    ] = None,
    min_images: Annotated[int, typer.Option(help="Images that each step judges at least.", min=1)] = 100,
    patience: Annotated[
        str, typer.Option(help="How long a step waits for them at most, before it goes back.", metavar="AGE")
    ] = "1d",
    status: Annotated[bool, typer.Option("--status", help="Show the model's canary.")] = False,
    off: Annotated[bool, typer.Option("--off", help="End it: the champion gets all requests again.")] = False,
    home: Home = None,
) -> None:
    """Give a version a growing share of the traffic while its figures hold, and make it champion; else go back."""
    from cli.home import find_home
    from cli.models import canary as canaries
    from cli.models.canary_terms import read_terms

    if status:
        canaries.show(find_home(home), name)
    elif off:
        canaries.stop(find_home(home), name)
    else:
        terms = read_terms(
            steps,
            every,
            max_errors,
            max_p99,
            min_agreement=min_agreement,
            min_images=min_images,
            patience=patience,
        )
        canaries.start(find_home(home), name, version, terms)


@models.command()
def compare(
    name: Name,
    versions: Annotated[
        list[str] | None, typer.Argument(help="Versions to compare.", metavar="[VERSION]...", show_default="all")
    ] = None,
    since: Annotated[str, typer.Option(help="Predictions of this age at most: 24h, 7d, 2w.", metavar="AGE")] = "1d",
    as_json: Annotated[bool, typer.Option("--json", help="For programs: the object of the HTTP API.")] = False,
    home: Home = None,
) -> None:
    """Compare versions: counts, errors, latencies, drift, accuracy, and whether a difference means anything."""
    from cli.home import find_home
    from cli.models.compare import compare

    compare(find_home(home), name, versions or [], since=since, as_json=as_json)


@models.command()
def retire(name: Name, home: Home = None) -> None:
    """Take a model out of service: new images are refused; waiting ones are still computed where it is loaded."""
    from cli.home import find_home
    from cli.models import run

    run.retire(find_home(home), name)


@models.command()
def restore(name: Name, wait: Wait = True, home: Home = None) -> None:
    """Let a retired model be served again."""
    from cli.home import find_home
    from cli.models import run

    run.restore(find_home(home), name, wait=wait)
