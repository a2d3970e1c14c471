"""What the registry has of one model, as the commands read it: versions by number, aliases, tags."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cli.terminal.lines import first_line
from cli.terminal.refused import Refused
from shared.domain.identifiers import ModelName, VersionNumber
from shared.domain.model_reference import LATEST

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

READY: Final = "READY"
_MISSING: Final = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A registered model; `versions` maps each version's number to MLflow's status of it."""

    name: ModelName
    aliases: dict[str, VersionNumber]
    tags: dict[str, str]
    versions: dict[VersionNumber, str]

    def ready_version(self, number: str) -> VersionNumber:
        """Return the number of a ready version, `latest` being the newest; raises Refused where there is none."""
        ready = self.ready()
        if number == LATEST and ready:
            return ready[-1]
        found = VersionNumber(number)
        if found in ready:
            return found
        if found in self.versions:
            raise Refused(f"Version {number} of {self.name} is not ready: MLflow says {self.versions[found]}.")
        there = ", ".join(ready) or "none"
        raise Refused(f"{self.name} has no version {number}. Ready are: {there}.")

    def ready(self) -> list[VersionNumber]:
        """Return the numbers of the ready versions, ascending."""
        return sorted((number for number, status in self.versions.items() if status == READY), key=int)


def registered_model(client: "MlflowClient", name: str) -> Registered:
    """Return what is registered under a name; raises Refused where nothing is, naming what there is."""
    with refusing():
        try:
            model = client.get_registered_model(name)
        except Exception as error:
            if getattr(error, "error_code", "") not in _MISSING:
                raise
            names = ", ".join(sorted(one.name for one in client.search_registered_models())) or "nothing"
            raise Refused(f"No model {name!r} is registered. There is: {names}.") from None
        versions = [one for one in _versions(client, name) if one.name == name]
    return Registered(
        name=ModelName(name),
        aliases={alias: VersionNumber(str(number)) for alias, number in model.aliases.items()},
        tags=dict(model.tags),
        versions={VersionNumber(str(one.version)): str(one.status) for one in versions},
    )


def _versions(client: "MlflowClient", name: str) -> list[Any]:
    """Return MLflow's versions of a model; also of others, where the name has both kinds of quotes."""
    quote = next((mark for mark in "'\"" if mark not in name), None)
    found: list[Any] = []
    token: str | None = None
    while True:
        page = client.search_model_versions(quote and f"name={quote}{name}{quote}", page_token=token)
        found += page
        token = page.token
        if not token:
            return found


@contextmanager
def refusing() -> Iterator[None]:
    """Turn what MLflow's stores raise in the block into Refused: a registry that is down, or refuses the login."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  whatever MLflow's many stores raise
        raise Refused(f"The registry can't be asked: {first_line(error)}") from None
