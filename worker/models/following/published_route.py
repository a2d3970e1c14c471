"""One model's route, as this process publishes it in Redis for the gateways."""

import logging
from collections.abc import Mapping
from dataclasses import replace

import redis

from shared.domain.canary import CANARY_TAG, Canary, Phase
from shared.domain.identifiers import ModelName, VersionKey, VersionNumber
from shared.domain.keep_rule import KeepRule
from shared.domain.model_route import CHAMPION, Gone, Route, ShadowTarget
from shared.queue import model_routes
from worker.models.registry.registry_snapshot import RegistrySnapshot, files_of
from worker.models.registry.serving_tags import (
    Tuning,
    read_challenger_share,
    read_keep_rule,
    read_pipelines,
    read_shadow_share,
    read_tuning,
)
from worker.models.versions.known_versions import KnownVersions

log = logging.getLogger(__name__)


class PublishedRoute:
    """The route of one model; called from its follower's thread alone."""

    def __init__(
        self, model: ModelName, *, client: redis.Redis, known: KnownVersions, device: str, usual: Tuning
    ) -> None:
        """`usual` is how micro-batches are formed where no tag says otherwise."""
        self._model = model
        self._client = client
        self._known = known
        self._device = device
        self._usual = usual
        self.tuning = usual
        """How the model's micro-batches are formed, by its tags; any thread may read it."""
        self.keep_rule: KeepRule | None = None
        """Which pictures its tags keep to learn from, None where there is no such tag; any thread may read it."""
        self.shadow: ShadowTarget | None = None
        """What the model's shadow predicts too, by the last route; any thread may read it."""
        self._published: Route | None = None
        self._before = ""
        self._ignored_shares: dict[str, str] = {}
        self.is_retired = False
        """Whether an operator had retired the model when it was last to be published."""
        self.was_overtaken = False
        """Whether another worker had published a route meanwhile when it was last to be published."""

    @property
    def was_published(self) -> bool:
        """Whether this process has published the route, and not withdrawn it since."""
        return self._published is not None

    def is_published(self) -> bool:
        """Tell whether a route of the model is in Redis, whoever published it."""
        return model_routes.is_published(self._client, self._model)

    def begin(self) -> None:
        """Note which route is published, before what a new one says is found out: only that one may be replaced."""
        self._before = model_routes.digest(self._client, self._model)

    def publish(
        self,
        registered: RegistrySnapshot,
        serving: Mapping[str, VersionKey],
        failed: dict[VersionNumber, str],
        *,
        went_back: dict[VersionNumber, str],
        model_is_gone: bool,
    ) -> None:
        """Publish a route that changed, or that is no longer in Redis: lost by Redis, or withdrawn meanwhile.

        An unchanged route is not published again, nor any over one that another worker has published since `begin`: a
        worker that lags behind would undo what others have published. The route of a retired model waits until the
        model is restored.
        """
        self.was_overtaken = False
        route = self._route(registered, serving, failed, went_back=went_back, model_is_gone=model_is_gone)
        self.shadow = route.shadow_target()
        if route == self._published and self.is_published():
            return
        try:
            is_retired = not model_routes.publish(self._client, route, over=self._before)
        except model_routes.RouteOvertaken:
            self.was_overtaken = True
            return
        if is_retired:
            self._published = None
            if not self.is_retired:
                log.info("model_retired")
            self.is_retired = True
            return
        self.is_retired = False
        if route.gone != (self._published.gone if self._published else {}):
            for notice in route.notices():
                log.warning("served_version_gone", extra={"reason": notice})
        self._published = route
        log.info("route_published", extra={"aliases": route.aliases, "failed": route.failed})

    def withdraw(self, *, was_served: bool) -> None:
        """Withdraw the route of a model that is no longer registered and that no worker has loaded.

        Only if it served, here or elsewhere: a registry that never had the model may be new and filled later. Nor where
        another worker has published a route since `begin`: it has found the model registered again.
        """
        self.was_overtaken = False
        if self._published is not None or (was_served and self.is_published()):
            if not model_routes.withdraw(self._client, self._model, over=self._before):
                self.was_overtaken = True
                return
            self._published = None
            log.warning("route_withdrawn")

    def _route(
        self,
        registered: RegistrySnapshot,
        serving: Mapping[str, VersionKey],
        failed: dict[VersionNumber, str],
        *,
        went_back: dict[VersionNumber, str],
        model_is_gone: bool,
    ) -> Route:
        versions = {n: self._known.version(candidate) for n, candidate in registered.versions.items()}
        # A version that serves though it was deleted, or its number is another's since.
        versions |= {v.number: v for key in serving.values() if (v := self._known.find(key)) is not None}
        numbers = {version.key: number for number, version in versions.items()}
        champion = serving.get(CHAMPION)
        tags = dict(registered.tags)
        for candidate in registered.versions.values():
            if candidate.key == champion:
                tags |= candidate.tags
        self.tuning, warnings = read_tuning(tags, usual=self._usual)
        self.keep_rule, wrong_rule = read_keep_rule(tags)
        warnings += wrong_rule
        pipelines, unusable = read_pipelines(tags)
        warnings += unusable
        if champion is not None and warnings:
            version = versions[numbers[champion]]
            versions[version.number] = replace(version, warnings=(*version.warnings, *warnings))
        challenger_percent = self._share("challenger", *read_challenger_share(registered.tags))
        shadow_percent = self._share("shadow", *read_shadow_share(registered.tags))
        return Route(
            model=self._model,
            description=registered.description,
            aliases={alias: numbers[key] for alias, key in serving.items()},
            versions=versions,
            challenger_percent=challenger_percent,
            shadow_percent=shadow_percent,
            failed=failed,
            went_back=went_back,
            gone=_gone(registered, {a: (k, numbers[k]) for a, k in serving.items()}, model_is_gone=model_is_gone),
            device=self._device,
            max_batch_size=self.tuning.max_batch_size,
            pipelines=pipelines,
            canary=_canary_words(registered, went_back),
            pin=registered.pin,
        )

    def _share(self, alias: str, percent: int, wrong: str) -> int:
        """Return a share; log why it is ignored once, not with every poll."""
        if wrong and wrong != self._ignored_shares.get(alias):
            log.warning(f"{alias}_percent_ignored", extra={"reason": wrong})  # noqa: G004  one event for each alias
        self._ignored_shares[alias] = wrong
        return percent


def _gone(
    registered: RegistrySnapshot, serving: Mapping[str, tuple[VersionKey, VersionNumber]], *, model_is_gone: bool
) -> dict[VersionNumber, Gone]:
    """Return what the registry no longer has of each version that serves."""
    # By its files: a version whose tags were changed is still there.
    keys = {files_of(candidate.key) for candidate in registered.versions.values()}
    gone: dict[VersionNumber, Gone] = {}
    for alias, (key, number) in serving.items():
        if model_is_gone:
            gone[number] = Gone.MODEL
        elif files_of(key) not in keys:
            gone[number] = Gone.VERSION
        elif alias not in registered.aliases:
            gone[number] = Gone.ALIAS
    return gone


def _canary_words(registered: RegistrySnapshot, went_back: Mapping[VersionNumber, str]) -> str:
    """Return where a canary is; what is wrong where the tag holds none, and an empty text where there was none.

    The tag of a canary that went through stays `promoted`, as the alias stays, where the champion's trial takes the
    version back later: that is told here.
    """
    text = registered.tags.get(CANARY_TAG)
    if text is None:
        return ""
    try:
        canary = Canary.from_text(text)
    except ValueError as error:
        return str(error)
    failed = went_back.get(canary.version) if canary.phase is Phase.PROMOTED else None
    words = canary.words_beside(registered.aliases.get(CHAMPION))
    return f"{words}; the version before serves again, since {failed}" if failed else words
