"""The `darkroom` command. What a command needs is imported inside it, so that `--help` answers in a moment."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.terminal.plain_output import prepared
from shared.domain.api_keys import Role

commands = typer.Typer(
    help="A queue between people's images and your vision model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

webhooks = typer.Typer(help="Try webhooks out.", no_args_is_help=True)
commands.add_typer(webhooks, name="webhooks")

keys = typer.Typer(help="Say who may call the API.", no_args_is_help=True)
commands.add_typer(keys, name="keys")

models = typer.Typer(help="Say which models serve.", no_args_is_help=True)
commands.add_typer(models, name="models")

Home = Annotated[
    Path | None,
    typer.Option(
        help="Folder that everything of this stack is kept in.", envvar="DARKROOM_HOME", show_default=".darkroom"
    ),
]


def _callable_url(url: str | None) -> str | None:
    from shared.domain.webhooks import check_url  # noqa: PLC0415

    try:
        if url is not None:
            check_url(url)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return url


def _owner(name: str) -> str:
    from shared.domain.api_keys import check_owner  # noqa: PLC0415

    try:
        return check_owner(name)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _rate(text: str) -> float:
    from cli.keys.run import read_rate  # noqa: PLC0415

    try:
        return read_rate(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


@commands.command()
def up(
    home: Home = None,
    port: Annotated[int, typer.Option(help="Port of the API, on this machine only.", min=1, max=65535)] = 8000,
    detach: Annotated[bool, typer.Option("--detach", help="Return when everything is ready; it runs on.")] = False,  # noqa: FBT002
    model: Annotated[
        list[str] | None, typer.Option(help="Model to serve; may be given again.", show_default="digits")
    ] = None,
) -> None:
    """Start everything on this machine: Redis, Postgres, MLflow, the API, the workers and Flower."""
    from cli.find_stack import find_home  # noqa: PLC0415
    from cli.up import run as commands  # noqa: PLC0415

    commands.up(find_home(home), port=port, detach=detach, models=tuple(model or ()))


@commands.command()
def down(home: Home = None) -> None:
    """Stop what `up` started; what is being computed finishes first."""
    from cli.find_stack import find_home  # noqa: PLC0415
    from cli.up import run as commands  # noqa: PLC0415

    commands.down(find_home(home))


@commands.command()
def status(
    home: Home = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: {role: {url, pids, state, …}}.")] = False,  # noqa: FBT002
    once: Annotated[bool, typer.Option("--once", help="Print it and end, as where the output is no terminal.")] = False,  # noqa: FBT002
) -> None:
    """Show what runs and what it does, live: processes, lanes, rates, the last errors; q ends it."""
    from cli.find_stack import find_home  # noqa: PLC0415
    from cli.up import run as commands  # noqa: PLC0415

    commands.status(find_home(home), as_json=as_json, once=once)


@commands.command()
def submit(
    files: Annotated[list[Path], typer.Argument(help="Image files.", show_default=False)],
    home: Home = None,
    model: Annotated[
        str | None, typer.Option(help="name, name@alias or name:version; may be left out where one model serves.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the results.")] = False,  # noqa: FBT002
    webhook: Annotated[
        str | None,
        typer.Option(help="URL to call about each prediction.", metavar="URL", callback=_callable_url),
    ] = None,
) -> None:
    """Submit images, a line each: id and status, with --wait the class and how sure the model is."""
    from cli.find_stack import find_home  # noqa: PLC0415
    from cli.submit import run  # noqa: PLC0415

    run.submit(find_home(home), files, model=model, wait=wait, webhook=webhook)


@commands.command()
def bulk(
    paths: Annotated[
        list[Path], typer.Argument(help="Folders, image files, or archives (zip, tar, tar.gz).", show_default=False)
    ],
    home: Home = None,
    model: Annotated[
        str | None, typer.Option(help="name, name@alias or name:version; may be left out where one model serves.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File for the results: JSON lines where it ends in .ndjson, else CSV.")
    ] = None,
    webhook: Annotated[
        str | None,
        typer.Option(
            help="URL to call when a batch is done. Each archive is one batch; a large folder is several, "
            "of up to 5,000 files or 256 MB.",
            metavar="URL",
            callback=_callable_url,
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the last run; send what is not done.")] = False,  # noqa: FBT002
) -> None:
    """Predict a folder, many files or an archive; exit 0 if all succeeded, 1 if some did not."""
    from cli.bulk import run  # noqa: PLC0415
    from cli.find_stack import find_home  # noqa: PLC0415

    sys.exit(run.bulk(find_home(home), paths, model=model, webhook=webhook, out=out, resume=resume))


@webhooks.command()
def listen(
    port: Annotated[int, typer.Argument(help="Port to listen on, on this machine only.", min=1, max=65535)],
    home: Home = None,
    secret: Annotated[
        str | None, typer.Option(help="What signs them.", metavar="whsec_…", show_default="asks the gateway")
    ] = None,
) -> None:
    """Receive webhooks and show a line each: what came, and whether its signature is right. Ctrl-C ends it."""
    from cli.find_stack import find_home  # noqa: PLC0415
    from cli.webhooks import listen  # noqa: PLC0415

    listen.listen(find_home(home), port, secret=secret)


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose it is; keys of one name see the same things.", callback=_owner)],
    home: Home = None,
    role: Annotated[
        Role,
        typer.Option(help="read: look. submit: predict, cancel, upload too. admin: metrics, new secrets too."),
    ] = Role.SUBMIT,
    rate: Annotated[
        float | None, typer.Option(help="Images a second.", metavar="N/s", parser=_rate, show_default="no limit")
    ] = None,
    max_inflight: Annotated[
        int | None, typer.Option(help="Unfinished images at a time.", min=1, metavar="N", show_default="no limit")
    ] = None,
) -> None:
    """Make an API key and show it, this once."""
    from cli.find_stack import find_home  # noqa: PLC0415
    from cli.keys import run as making  # noqa: PLC0415

    making.create(find_home(home), name, role=role, rate=rate, max_inflight=max_inflight)


@keys.command("list")
def list_keys(home: Home = None) -> None:
    """List the keys: how each begins, whose it is, what it may."""
    from cli.find_stack import find_home  # noqa: PLC0415
    from cli.keys import run as making  # noqa: PLC0415

    making.show(find_home(home))


@keys.command()
def revoke(
    key: Annotated[str, typer.Argument(help="The key, or how it begins as the list shows it.")], home: Home = None
) -> None:
    """Revoke a key: it stops within 5 s."""
    from cli.find_stack import find_home  # noqa: PLC0415
    from cli.keys import run as making  # noqa: PLC0415

    making.revoke(find_home(home), key)


@models.command("list")
def list_models(home: Home = None) -> None:
    """List the models: champion, workers, images that wait, and why one does not serve."""
    from cli.find_stack import find_home  # noqa: PLC0415
    from cli.models import run as serving  # noqa: PLC0415

    serving.show(find_home(home))


Name = Annotated[str, typer.Argument(help="As the list shows it.", metavar="NAME")]


@models.command()
def retire(name: Name, home: Home = None) -> None:
    """Take a model out of service: new images are refused, what waits is still computed where it is loaded."""
    from cli.find_stack import find_home  # noqa: PLC0415
    from cli.models import run as serving  # noqa: PLC0415

    serving.retire(find_home(home), name)


@models.command()
def restore(name: Name, home: Home = None) -> None:
    """Let a retired model be served again."""
    from cli.find_stack import find_home  # noqa: PLC0415
    from cli.models import run as serving  # noqa: PLC0415

    serving.restore(find_home(home), name)


@commands.command()
def demo(home: Home = None) -> None:
    """See it work: 200 scanned digits the model has never seen, sent through the whole stack."""
    from cli.demo import run as running  # noqa: PLC0415
    from cli.find_stack import find_home  # noqa: PLC0415

    running.demo(find_home(home))


@commands.command()
def migrate(home: Home = None) -> None:
    """Bring the database to the newest schema."""
    from cli import stores  # noqa: PLC0415
    from cli.find_stack import find_home  # noqa: PLC0415

    stores.migrate(find_home(home))


@commands.command()
def purge(
    owner: Annotated[str, typer.Option(help="Whose everything is deleted: the name of its keys.", callback=_owner)],
    home: Home = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,  # noqa: FBT002
) -> None:
    """Delete all that is one owner's: unfinished work is canceled, rows, files and keys go for good."""
    from cli.find_stack import find_home  # noqa: PLC0415
    from cli.purge import run as purging  # noqa: PLC0415

    if not yes:
        typer.confirm(f"Delete every prediction, batch, file, delivery and key of {owner}?", abort=True)
    sys.exit(purging.purge(find_home(home), owner))


@commands.command()
def audit(home: Home = None) -> None:
    """Check on the live system that no job is lost, doubled or stuck; exit 1 and say what is broken."""
    from cli import stores  # noqa: PLC0415
    from cli.find_stack import find_home  # noqa: PLC0415

    sys.exit(stores.audit(find_home(home)))


def app() -> None:
    """Run the command that the command line names."""
    with prepared():
        commands()


if __name__ == "__main__":
    app()
