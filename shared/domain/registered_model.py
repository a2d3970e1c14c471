"""A registered model as changes of what serves are planned for it: versions by number, aliases, tags."""

from dataclasses import dataclass
from typing import Final

from shared.domain.errors import ChangeRefused
from shared.domain.identifiers import ModelName, VersionNumber
from shared.domain.model_reference import LATEST, version_number

READY: Final = "READY"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredModel:
    """`versions` maps each version's number to MLflow's status of it."""

    name: ModelName
    aliases: dict[str, VersionNumber]
    tags: dict[str, str]
    versions: dict[VersionNumber, str]

    def ready_version(self, number: str) -> VersionNumber:
        """Return the number of a ready version, `latest` being the newest; raises ChangeRefused where there is none.

        Also of `NAME:3`, `models:/NAME/3` and `NAME@alias`, as clients and MLflow write it, where the name is this one.
        """
        ready, found = self.ready(), version_number(number, name=self.name, aliases=self.aliases)
        if found == LATEST and ready:
            return ready[-1]
        if found in ready:
            return found
        if found in self.versions:
            raise ChangeRefused(
                reason=f"Version {number} of {self.name} is not ready: MLflow says {self.versions[found]}"
            )
        there = ", ".join(ready) or "none"
        raise ChangeRefused(reason=f"{self.name} has no version {number}. Ready are: {there}")

    def ready(self) -> list[VersionNumber]:
        """Return the numbers of the ready versions, ascending."""
        return sorted((number for number, status in self.versions.items() if status == READY), key=int)
