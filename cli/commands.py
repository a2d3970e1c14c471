"""The commands of `darkroom`: `COMMAND/command.py` declares each, `COMMAND/run.py` does it.

A declaration imports what it needs inside its function, so that `--help` answers in a moment.
"""

import typer

from cli.audit.command import audit
from cli.bulk.command import bulk
from cli.demo.command import demo
from cli.down.command import down
from cli.export.command import export
from cli.feedback.command import feedback
from cli.keys.command import keys
from cli.migrate.command import migrate
from cli.models.command import models
from cli.purge.command import purge
from cli.status.command import status
from cli.submit.command import submit
from cli.up.command import up
from cli.webhooks.command import webhooks

commands = typer.Typer(
    help="A queue between people's images and your vision model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
# `--help` lists them in this order, groups last.
for command in (up, down, status, submit, bulk, export, feedback, demo, migrate, purge, audit):
    commands.command()(command)
for group, name in ((webhooks, "webhooks"), (keys, "keys"), (models, "models")):
    commands.add_typer(group, name=name)
