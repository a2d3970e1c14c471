"""References to a model as clients write them in `model` and `version`: parsing, and the form for the document."""

import re
from collections.abc import Mapping
from typing import Final, Self

from shared.domain.errors import InvalidParameter
from shared.domain.identifiers import ModelName, VersionNumber
from shared.domain.records import record

REFERENCE_PATTERN: Final = r"^(([^\x00]*/)?[^\x00/@:]+(@[^\x00/@:]+|(:[^\x00/@:]+){1,2})?)?$"
"""Form of a reference for the OpenAPI document; parsing accepts a little more, such as extra colons."""
LATEST: Final = VersionNumber("latest")
"""In place of a version's number: the newest ready version. MLflow lets no alias have this name."""
_MLFLOW: Final = re.compile(r"models:/([^/@:]+)(?:/([^/@:]+)|@([^/@:]+))?")


@record(kw_only=True)
class Reference:
    """A parsed reference: `[owner/]name`, `[owner/]name@alias`, `[owner/]name:version`, or a bare version.

    Also MLflow's own forms, `models:/name/version` and `models:/name@alias`. A version is a number or `latest`.
    """

    name: ModelName | None
    alias: str | None = None
    version: VersionNumber | None = None

    def __str__(self) -> str:
        """Return `name@alias`, `name:version` or `name`."""
        suffix = f"@{self.alias}" if self.alias else f":{self.version}" if self.version else ""
        return f"{self.name or ''}{suffix}"

    @classmethod
    def parse_model(cls, text: str) -> Self:
        """Parse a `model` parameter; the owner part is ignored. Raises InvalidParameter."""
        name, alias, version = text.rsplit("/", 1)[-1], None, None
        if text.startswith("models:/") and (parts := _MLFLOW.fullmatch(text)):
            name, version, alias = parts.groups()
        elif "@" in name:
            name, alias = name.split("@", 1)
        elif ":" in name:
            name, version = name.split(":", 1)
            version = version.rsplit(":", 1)[-1]  # Replicate's clients expand name:3 to name:name:3
        if alias == LATEST:
            alias, version = None, LATEST
        if not name or alias == "" or version == "":
            raise InvalidParameter(
                detail=f"{text!r} does not name a model; write name, name@alias, name:version or models:/name/version",
                pointer="/model",
            )
        return cls(
            name=ModelName(name),
            alias=alias,
            version=None if version is None else VersionNumber(version),
        )

    @classmethod
    def parse_version(cls, text: str) -> Self:
        """Parse a `version` parameter: a whole reference, a bare number as Replicate's clients send it, or `latest`."""
        if text != LATEST and (any(mark in text for mark in "/:@") or not text.isdigit()):
            return cls.parse_model(text)
        return cls(name=None, version=VersionNumber(text))

    def joined(self, other: "Reference") -> "Reference | None":
        """Return both references combined; None where they contradict each other."""
        names, aliases = {self.name, other.name} - {None}, {self.alias, other.alias} - {None}
        versions = {self.version, other.version} - {None}
        if len(names) > 1 or len(aliases) + len(versions) > 1:
            return None
        return Reference(
            name=self.name or other.name, alias=self.alias or other.alias, version=self.version or other.version
        )


def version_number(text: str, *, name: ModelName, aliases: Mapping[str, VersionNumber]) -> VersionNumber:
    """Return the number of the version that a reference to a model names, or its alias leads to; else the text.

    So `3`, `digits:3`, `models:/digits/3` and `digits@shadow` are the same version of `digits` where its alias says so.
    """
    try:
        reference = Reference.parse_version(text)
    except InvalidParameter:
        return VersionNumber(text)
    if reference.name != name:
        return VersionNumber(text)
    return reference.version or aliases.get(reference.alias or "", VersionNumber(text))
