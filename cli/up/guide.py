"""The text shown once a stack runs: addresses, who may call the API, and a command to try."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from cli.home import command_line
from cli.stack.plan import DEMO_MODEL, THIS_MACHINE, held_out_folder
from cli.stack.servers.mlflow_login import Login, login_file
from cli.stack.supervisor.state import StackState


def guide(state: StackState, home: Path) -> str:
    """Return the addresses of a stack, and a command line to paste that predicts an image."""
    pages = [
        ("console", f"{state.url}/"),
        ("API", state.url),
        ("API pages", f"{state.url}/docs"),
        ("MLflow", state.url_of("mlflow") or ""),
        *_login(home, state),
        ("Flower", state.url_of("flower") or ""),
        ("Postgres", state.url_of("postgres") or ""),
        ("Redis", state.url_of("redis") or ""),
        ("logs", str(home / "logs")),
    ]
    lines = [
        "Darkroom runs.",
        "",
        *(f"  {name:<10} {where}" for name, where in pages),
        "",
        _keys(state.keys_required, home),
    ]
    lines.append(_webhooks(state.networks))
    image = next(iter(sorted(held_out_folder(home).glob("*.png"))), None)
    if image is not None:
        model = next(iter(state.models), DEMO_MODEL)
        command = curl(state.url, model=model, image=image, with_key=state.keys_required)
        lines += ["", "Try it:", f"  {command}"]
    return "\n".join(lines)


def _login(home: Path, state: StackState) -> list[tuple[str, str]]:
    """Return the line with the embedded MLflow's login and its file; none for an external registry."""
    if not any(program.login_file for program in state.of_role("mlflow")):
        return []
    login = Login.read(home)
    return (
        [("", f"user {login.username}, password {login.password}; for programs: {login_file(home)}")] if login else []
    )


def _keys(required: bool, home: Path) -> str:  # noqa: FBT001  chooses one of two sentences
    """Return a sentence on whether the API asks for keys."""
    if required:
        make = command_line("keys create NAME", home)
        return f"The API asks for a key. Make one: {make}; then export DARKROOM_API_KEY=dk_…"
    return "The API asks for no key: it is for this machine alone. DARKROOM_AUTH_REQUIRED=true makes it ask."


def _webhooks(networks: Sequence[str]) -> str:
    """Return a sentence on which addresses webhooks may call."""
    if not networks:
        return "Webhooks may call public addresses only."
    named = ", ".join(f"this machine ({name})" if name == THIS_MACHINE else name for name in networks)
    return f"Webhooks may call {named}; elsewhere only public addresses are called."


def curl(url: str, *, model: str, image: Path, with_key: bool = False) -> str:
    """Return a curl command that predicts `image`; `with_key` adds the key in the shell's DARKROOM_API_KEY."""
    key = '-H "Authorization: Bearer $DARKROOM_API_KEY" ' if with_key else ""
    fields = " ".join(f"-F {shlex.quote(field)}" for field in (f"model={model}", f"image=@{image}"))
    return f"curl -s {key}-H 'Prefer: wait' {fields} {url}/v1/predictions"
