"""Pictures are kept, labelled, exported; a version is trained, is shadow, takes over: the loop of examples/retrain."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api_client import Door
from tests.support.documents import ROOT
from tests.support.pictures import renewed
from tests.support.program_forks import Program, run
from tests.support.stack import Stack
from tests.support.waiting import until


def in_registry(stack: Stack, code: str) -> str:
    """Run code with the registry's address and login in its environment; return what it prints."""
    registry = stack.registry_environment
    environment = stack.environment | registry | {"MLFLOW_TRACKING_URI": registry["DARKROOM_REGISTRY_URL"]}
    done = run(Program(f"from mlflow import MlflowClient\n{code}", (), environment, ROOT, is_code=True))
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def keeping(stack: Stack) -> Iterator[Path]:
    """The folder in which all pictures of `digits` are kept during the test."""
    stack.darkroom("models", "keep", "digits", "all")
    yield Path(stack.environment["DARKROOM_KEEP_IMAGES_URL"])
    stack.darkroom("models", "canary", "digits", "--off", expect=None)
    stack.darkroom("models", "shadow", "digits", "--off")
    stack.darkroom("models", "promote", "digits", "1")
    in_registry(
        stack,
        "client = MlflowClient()\n"
        "for tag in ('keep_images', 'canary', 'previous_champion'):\n"
        "    client.delete_registered_model_tag('digits', f'darkroom.{tag}')\n"
        "for version in client.search_model_versions(\"name='digits'\"):\n"
        "    if str(version.version) != '1':\n"
        "        client.delete_model_version('digits', version.version)",
    )


def label(door: Door, ids: dict[str, str]) -> None:
    """Say what each prediction's picture shows, as a CSV."""
    lines = ["id,label", *(f"{id},{label}" for id, label in ids.items())]
    answer = door.post("/v1/feedback", content="\n".join(lines), headers={"Content-Type": "text/csv"})
    assert (answer.status_code, answer.json()["created"]) == (200, len(ids)), answer.text


def test_a_version_is_trained_from_pictures_that_people_labelled_shadows_and_takes_over(
    stack: Stack, door: Door, keeping: Path, tmp_path: Path
) -> None:
    def is_kept(image: bytes) -> bool:
        return any(keeping.rglob(f"{hashlib.sha256(image).hexdigest()}.png"))

    probes: list[bytes] = []

    def is_keeping() -> bool:
        probes.append(renewed(stack.images[0].read_bytes()))
        door.submit(probes[-1])
        return any(map(is_kept, probes))  # the last one may be being written

    until(is_keeping, what="workers read the tag", pause=0.3)
    sent = {path: renewed(path.read_bytes()) for path in stack.images[::6]}
    ids = {door.submit(image).json()["id"]: path.name[0] for path, image in sent.items()}
    for image in sent.values():
        until(lambda image=image: is_kept(image), what="the picture is kept")
    label(door, ids)

    registry = stack.registry_environment
    environment = stack.environment | registry | {"MLFLOW_TRACKING_URI": registry["DARKROOM_REGISTRY_URL"]}
    script = "import runpy; runpy.run_path('examples/retrain/retrain.py', run_name='__main__')"
    terms = ("--steps", "50,100", "--every", "1s", "--min-images", "5", "--max-p99", "1000x")
    arguments = ("--data", str(tmp_path / "data"), "--since", "1h", "--epochs", "20", *terms)
    done = run(Program(script, arguments, environment, ROOT, is_code=True))
    assert done.returncode == 0, done.stdout
    number = done.stdout.split("registered version ")[1].split()[0]

    manifest = json.loads((tmp_path / "data" / "manifest.json").read_text())
    assert {entry["sha256"] for entry in manifest["pictures"]} >= {
        hashlib.sha256(image).hexdigest() for image in sent.values()
    }
    digest = in_registry(
        stack,
        f"client = MlflowClient()\nrun = client.get_run(client.get_model_version('digits', '{number}').run_id)\n"
        "print(run.inputs.dataset_inputs[0].dataset.digest, run.data.tags['darkroom.dataset_sha256'])",
    ).split()
    assert digest == [manifest["sha256"][:36], manifest["sha256"]]

    def model() -> Any:
        return door.get("/v1/models/digits")

    assert model()["shadow"] == {number: 100}
    shadowed: list[str] = []

    def takes_over() -> bool:
        """Send images, as users do, and tell whether the canary has gone through."""
        for path in stack.images[:8]:
            found = door.submit(renewed(path.read_bytes())).json()
            assert found["version"] in {"1", number}, found
            if found["version"] == "1":
                shadowed.append(found["id"])
        canary = model()["canary"] or ""  # none is told of until a worker has read the tag
        assert "went back" not in canary, canary
        return f"version {number} became champion" in canary

    until(takes_over, what="the canary goes through", pause=0.3)
    until(lambda: model()["aliases"]["champion"] == number, what="workers have followed", pause=0.1)
    assert door.submit(renewed(stack.images[0].read_bytes())).json()["version"] == number

    def has_answered() -> bool:
        asked = (door.get(f"/v1/predictions/{id}", params={"include": "shadow"}) for id in shadowed)
        return any(one["version"] == number for found in asked for one in found["shadow"])

    until(has_answered, what="the shadow's answers are recorded", pause=0.3)
