"""A model's route: which of its versions serve, and which of them a reference resolves to."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from shared.domain.errors import UnknownModel
from shared.domain.identifiers import Digest, ModelName, VersionKey, VersionNumber
from shared.domain.model_reference import LATEST, Reference
from shared.domain.records import record
from shared.domain.task import Task

CHAMPION = "champion"
CHALLENGER = "challenger"
SHADOW = "shadow"
CHALLENGER_PERCENT: Final = "darkroom.challenger_percent"
"""Tag of a registered model: the challenger's share of the requests that name no version."""
SHADOW_PERCENT: Final = "darkroom.shadow_percent"
"""Tag of a registered model: the share of the champion's images that the shadow predicts too, after the answer."""
PREVIOUS_CHAMPION: Final = "darkroom.previous_champion"
"""Tag of a registered model, set by a promotion: the version to which `rollback` goes."""
FOLLOWED: Final = (CHAMPION, CHALLENGER, SHADOW)
"""Aliases whose versions workers load; other aliases in the registry are ignored."""


class Gone(StrEnum):
    """What was deleted in the registry of a version that goes on serving."""

    ALIAS = "alias"
    VERSION = "version"
    MODEL = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far a version's scores agree with those of fp32 and exact decoding, on the same images.

    `top1` is the fraction of the images whose best class is the same, `largest_difference` that of two scores.
    """

    images: int
    top1: float
    largest_difference: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One registered version of a model that a worker can serve. `image` is its ImageSpec as JSON.

    `decode` and `precision` are how its images are computed, None until it was loaded. `output` is the JSON Schema of
    its outputs, empty until then; `warnings` are sentences about what its metadata leaves in doubt.
    """

    number: VersionNumber
    key: VersionKey
    created_at: str
    labels: tuple[str, ...] = ()
    image: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    decode: str | None = None
    precision: str | None = None
    agreement: Agreement | None = None
    task: str = Task.CLASSIFICATION
    output: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def was_loaded(self) -> bool:
        """Whether a worker has loaded it and said what it answers; a worker of an earlier release gave only labels."""
        return bool(self.output or self.labels)


@record(kw_only=True)
class Choice:
    """The version that a request resolved to. `variant` is the alias that chose it, `latest`, or the number itself.

    Of a pipeline `plan` is its text (`shared.domain.pipeline_plan`), and `lane_model` the model in whose lane it waits.
    """

    model: ModelName
    version: VersionNumber
    key: VersionKey
    variant: str
    lane_model: ModelName | None = None
    plan: str = ""

    @property
    def lane_owner(self) -> ModelName:
        """The model whose lane the image waits in, whose workers compute it."""
        return self.lane_model or self.model

    @property
    def entry_version(self) -> str:
        """What stands in the queue entry's field `version`: the key, of a pipeline followed by the plan."""
        return f"{self.key} {self.plan}" if self.plan else self.key


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowTarget:
    """The version that predicts a share of the champion's images too; `champion` is the version that answers them."""

    champion: VersionKey
    version: VersionNumber
    key: VersionKey
    percent: int

    def takes(self, digest: str) -> bool:
        """Return whether an image is of the share; always the same for an image.

        By other digits than those that choose the challenger, so that the share of the champion's images is `percent`.
        """
        return int(digest[8:16], 16) % 100 < self.percent


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What serves under one model's name, as its workers published it.

    `failed` has the versions that can't be loaded, with the reason; `went_back` the champion that failed too many
    images, with the reason, while the one before it serves; `gone` the versions that serve though the registry no
    longer names them; `canary` where its canary is, and `pin` what a setting of the workers pins, in words.
    """

    model: ModelName
    description: str
    aliases: dict[str, VersionNumber]
    versions: dict[VersionNumber, Version]
    challenger_percent: int = 0
    shadow_percent: int = 0
    failed: dict[VersionNumber, str] = field(default_factory=dict)
    went_back: dict[VersionNumber, str] = field(default_factory=dict)
    gone: dict[VersionNumber, Gone] = field(default_factory=dict)
    device: str = "cpu"
    max_batch_size: int = 64
    canary: str = ""
    pin: str = ""
    pipelines: dict[ModelName, dict[str, Any]] = field(default_factory=dict)
    """Definitions of the pipelines that the model's tags name (`shared.domain.pipeline`), checked, by name."""

    def choose(self, reference: Reference, *, digest: Digest) -> Choice:
        """Resolve a reference to a version. Without alias or version: champion or challenger, by the image's digest.

        Raises UnknownModel where the alias or version is not served, with the reason where a version failed to load.
        """
        variant = reference.version or reference.alias or self._draw(digest)
        version = self.find_version(reference, alias=variant)
        return Choice(model=self.model, version=version.number, key=version.key, variant=variant)

    def find_version(self, reference: Reference, *, alias: str = CHAMPION) -> Version:
        """Return the version that a reference names, or that `alias` does where the reference has neither.

        Raises UnknownModel as `choose` does.
        """
        if reference.version is not None:
            number = self._newest() if reference.version == LATEST else reference.version
            version = None if self._fails(number) else self.versions.get(number)
        else:
            version = self.versions.get(self.aliases.get(reference.alias or alias, VersionNumber("")))
        if version is None:
            raise UnknownModel(reference=str(reference), served=self.names(), reason=self._why_not(reference))
        return version

    def newest_first(self) -> list[Version]:
        """Return the versions by falling number."""
        return sorted(self.versions.values(), key=lambda version: (len(version.number), version.number), reverse=True)

    def _newest(self) -> VersionNumber:
        """Return the highest number of a version that did not fail to load; an empty one where there is none."""
        numbers = (version.number for version in self.newest_first())
        return next((n for n in numbers if not self._fails(n) and n not in self.went_back), VersionNumber(""))

    def _draw(self, digest: Digest) -> str:
        """Return champion or challenger; the same image always gets the same one."""
        if CHALLENGER in self.aliases and int(digest[:8], 16) % 100 < self.challenger_percent:
            return CHALLENGER
        return CHAMPION

    def shadow_target(self) -> ShadowTarget | None:
        """Return what the shadow predicts; None where there is no shadow, its share is 0, or it is the champion."""
        champion, shadow = (self.versions.get(self.aliases.get(a, VersionNumber(""))) for a in (CHAMPION, SHADOW))
        if champion is None or shadow is None or champion.key == shadow.key or not self.shadow_percent:
            return None
        return ShadowTarget(champion=champion.key, version=shadow.number, key=shadow.key, percent=self.shadow_percent)

    @property
    def never_loaded(self) -> bool:
        """Whether the registry names versions to serve and none of them ever loaded: the model can't be used."""
        return bool(self.failed) and not self.aliases

    @property
    def is_held_in_memory_alone(self) -> bool:
        """Whether a version that serves was deleted in the registry: a worker that starts can't load it."""
        return any(gone is not Gone.ALIAS for gone in self.gone.values())

    def notices(self) -> tuple[str, ...]:
        """Return a sentence for each version that serves though the registry no longer names it."""
        until = f"it goes on serving until another version is {CHAMPION} or the model is retired"
        said = {
            Gone.ALIAS: f"no alias names version {{}} in the registry any more; {until}",
            Gone.VERSION: f"version {{}} is no longer in the registry; {until}, while a worker has it loaded",
            Gone.MODEL: f"the model is no longer in the registry; {until}, while a worker has version {{}} loaded",
        }
        return tuple(said[gone].format(number) for number, gone in self.gone.items())

    def names(self) -> tuple[str, ...]:
        """Return every reference that resolves, to list in the error for one that does not."""
        if self.never_loaded:
            return ()
        bare = (str(self.model),) if CHAMPION in self.aliases else ()
        aliases = (f"{self.model}@{alias}" for alias in sorted(self.aliases))
        return (*bare, *aliases, *(f"{self.model}:{n}" for n in self.versions if not self._fails(n)))

    def load_failure(self, number: VersionNumber) -> str:
        """Return why a version can't be loaded; an empty text where it serves, or no worker has failed to load it."""
        return self.failed[number] if self._fails(number) else ""

    def _fails(self, number: VersionNumber) -> bool:
        """Whether a version failed to load and none serves under its number."""
        return number in self.failed and number not in self.aliases.values()

    def _why_not(self, reference: Reference) -> str:
        """Return why nothing serves under a reference: its version can't be loaded, or its alias names none.

        Empty where neither is so. `failed` does not say by which alias a version was named: of several, all are told.
        """
        if reference.alias not in (None, *FOLLOWED):
            return f"only the aliases {', '.join(FOLLOWED)} serve; name another version by its number"
        alias = reference.alias or CHAMPION
        if reference.version is None and not self.failed and alias not in self.aliases:
            return f"the alias {alias} names no version of it that is loaded"
        wanted = [reference.version] if reference.version not in (None, LATEST) else [*self.failed]
        reasons = (
            f"version {number} can't be loaded: {self.failed[number]}" for number in wanted if number in self.failed
        )
        return "; ".join(reasons)
