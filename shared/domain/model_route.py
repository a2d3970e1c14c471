"""Which versions of a model serve, and which of them a request means."""

from dataclasses import dataclass, field
from typing import Any, Final, Self

from shared.domain.errors import InvalidParameter, UnknownModel
from shared.domain.identifiers import Digest, ModelName, VersionKey, VersionNumber

MODEL: Final = r"^(([^\x00]*/)?[^\x00/@:]+(@[^\x00/@:]+|(:[^\x00/@:]+){1,2})?)?$"
"""How a reference is written, for the document; what can only be a typing error is read more generously."""
CHAMPION = "champion"
CHALLENGER = "challenger"
SHADOW = "shadow"
FOLLOWED: Final = (CHAMPION, CHALLENGER, SHADOW)
"""The aliases whose versions workers load; any other is a name that somebody uses elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One registered version of a model that a worker can serve."""

    number: VersionNumber
    key: VersionKey
    created_at: str
    labels: tuple[str, ...] = ()
    image: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The version a request resolved to, and by which name (an alias, or the number itself)."""

    model: ModelName
    version: VersionNumber
    key: VersionKey
    variant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What serves under one model name, as its workers published it."""

    model: ModelName
    description: str
    aliases: dict[str, VersionNumber]
    versions: dict[VersionNumber, Version]
    challenger_percent: int = 0
    failed: dict[VersionNumber, str] = field(default_factory=dict)
    device: str = "cpu"
    max_batch_size: int = 64

    def choose(self, reference: "Reference", *, digest: Digest) -> Choice:
        """Resolve to a version; without alias or version, champion or its challenger, sticky by image.

        Raises UnknownModel where the alias or version is not served, with the reason where a version failed to load.
        """
        if reference.version is not None:
            version = None if self._fails(reference.version) else self.versions.get(reference.version)
            variant = str(reference.version)
        else:
            variant = reference.alias or self._draw(digest)
            version = self.versions.get(self.aliases.get(variant, VersionNumber("")))
        if version is None:
            raise UnknownModel(reference=str(reference), served=self.names(), reason=self._why_not(reference))
        return Choice(model=self.model, version=version.number, key=version.key, variant=variant)

    def _draw(self, digest: Digest) -> str:
        """Champion or challenger: the same image always draws the same."""
        if CHALLENGER in self.aliases and int(digest[:8], 16) % 100 < self.challenger_percent:
            return CHALLENGER
        return CHAMPION

    @property
    def never_loaded(self) -> bool:
        """Whether the registry names versions to serve and none of them ever loaded: such a model serves nobody."""
        return bool(self.failed) and not self.aliases

    def names(self) -> tuple[str, ...]:
        """Every reference that resolves, for people who mistyped one."""
        if self.never_loaded:
            return ()
        aliases = (f"{self.model}@{alias}" for alias in sorted(self.aliases))
        return (str(self.model), *aliases, *(f"{self.model}:{n}" for n in self.versions if not self._fails(n)))

    def _fails(self, number: VersionNumber) -> bool:
        """Whether a version failed to load and none serves under its number."""
        return number in self.failed and number not in self.aliases.values()

    def _why_not(self, reference: "Reference") -> str:
        """Say why the version that is meant, or one that a followed alias names, did not load; '' where none failed."""
        wanted = [reference.version] if reference.version or reference.alias not in (None, *FOLLOWED) else self.failed
        failed = next((number for number in wanted if number in self.failed), None)
        return "" if failed is None else f"version {failed} can't be loaded: {self.failed[failed]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """`[owner/]name`, `[owner/]name@alias`, `[owner/]name:version`, or a bare version."""

    name: ModelName | None
    alias: str | None = None
    version: VersionNumber | None = None

    def __str__(self) -> str:
        """Write it the way people do."""
        suffix = f"@{self.alias}" if self.alias else f":{self.version}" if self.version else ""
        return f"{self.name or ''}{suffix}"

    @classmethod
    def parse_model(cls, text: str) -> Self:
        """Read a `model` member; the owner is not looked at. Raises InvalidParameter."""
        name, alias, version = text.rsplit("/", 1)[-1], None, None
        if "@" in name:
            name, alias = name.split("@", 1)
        elif ":" in name:
            name, version = name.split(":", 1)
            version = version.rsplit(":", 1)[-1]  # clients send name:name:3 as name:3's right form
        if not name or alias == "" or version == "":
            raise InvalidParameter(
                detail=f"{text!r} is no model; write name, name@alias or name:version",
                pointer="/model",
            )
        return cls(
            name=ModelName(name),
            alias=alias,
            version=None if version is None else VersionNumber(version),
        )

    @classmethod
    def parse_version(cls, text: str) -> Self:
        """Read a `version` member: Replicate's clients send `3` for `owner/name:3`, or a whole reference."""
        if any(mark in text for mark in "/:@") or not text.isdigit():
            return cls.parse_model(text)
        return cls(name=None, version=VersionNumber(text))

    def joined(self, other: "Reference") -> "Reference | None":
        """Return what both say together; None where they contradict."""
        names, aliases = {self.name, other.name} - {None}, {self.alias, other.alias} - {None}
        versions = {self.version, other.version} - {None}
        if len(names) > 1 or len(aliases) + len(versions) > 1:
            return None
        return Reference(
            name=self.name or other.name, alias=self.alias or other.alias, version=self.version or other.version
        )
