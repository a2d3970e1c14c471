"""A predict worker's side of one model's shadow lane: lease images while nobody waits, and write what was answered."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

import redis

from shared.domain.identifiers import Digest, ModelName, Owner, PredictionId, VersionKey, VersionNumber
from shared.queue import keys
from shared.queue.consumer.entries import Entry, with_images
from shared.queue.consumer.promotions import SEEN
from shared.queue.lua import Script, Scripts
from shared.settings import Queue

MAX_ATTEMPTS: Final = 2
"""How often a shadow's image is computed when its workers die over it."""
MOST_RESULTS: Final = 10_000
"""Results that wait for the recorder; while it is behind by so many, more are dropped."""


@dataclass(frozen=True, slots=True)
class ShadowEntry:
    """One image that the champion answered: of which prediction, and the champion's output (JSON), empty where long.

    `entry` has the image and the shadow's version; its wait list and cache key are empty: nobody waits for it.
    """

    entry: Entry
    prediction: PredictionId
    owner: Owner
    digest: Digest
    version: VersionNumber
    champion_output: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowAnswer:
    """What the shadow answered; `output` is JSON, empty unless `state` is succeeded. An empty state: left out."""

    shadowed: ShadowEntry
    state: str = ""
    output: bytes = b""
    error: str = ""
    code: str = ""
    agrees: bool | None = None
    predict_ms: float = 0.0


class ShadowLane:
    """One model's shadow lane as one consumer sees it. Each method may be repeated after a lost answer."""

    def __init__(self, client: redis.Redis, *, model: ModelName, consumer: str, settings: Queue) -> None:
        self._client = client
        self._scripts = Scripts(client)
        self._model = model
        self._consumer = consumer
        self._lease = settings.lease // timedelta(milliseconds=1)
        self._lane = keys.shadow_lane(model)

    def take(self, count: int, *, served: Iterable[ModelName]) -> list[ShadowEntry]:
        """Lease up to `count` images, or a suspect by itself, which has more than one attempt.

        None while an image of a model in `served` waits, or half of the model's workers are busy.
        """
        lanes = [name for model in served for name in (keys.lane(model, keys.INTERACTIVE), keys.rotation(model))]
        taken = self._scripts.run(
            Script.TAKE_SHADOW,
            (self._lane, keys.SHADOW_RESULTS, keys.workers(self._model), *lanes),
            *(self._consumer, count, self._lease, MAX_ATTEMPTS, SEEN // timedelta(microseconds=1)),
            *(self._model, MOST_RESULTS),
        )
        found = [self._entry(*one) for one in zip(taken[::3], taken[1::3], taken[2::3], strict=True)]
        read = {entry.id: entry for entry in with_images(self._client, [one.entry for one in found])}
        return [replace(one, entry=read[one.entry.id]) for one in found if one.entry.id in read]

    def is_empty(self) -> bool:
        """Tell whether no image waits or is being computed."""
        return not self._client.xlen(self._lane)

    def finish(self, answers: Sequence[ShadowAnswer]) -> tuple[int, int]:
        """Write the answers for the recorder and delete their entries.

        Return how many were written, and how many were dropped because too many wait for the recorder.
        """
        arguments: list[Any] = []
        for one in answers:
            shadowed = one.shadowed
            agrees = "" if one.agrees is None else "true" if one.agrees else "false"
            arguments += (shadowed.entry.id, shadowed.prediction, shadowed.version, shadowed.entry.version)
            arguments += (one.state, one.output, one.error, one.code, agrees, one.predict_ms)
        names = (self._lane, keys.SHADOW_RESULTS)
        written, full = self._scripts.run(Script.FINISH_SHADOW, names, MOST_RESULTS, self._model, *arguments)
        return int(written), int(full)

    def _entry(self, id: bytes, attempts: int, flat: list[bytes]) -> ShadowEntry:
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        return ShadowEntry(
            entry=Entry(
                lane=self._lane,
                id=id.decode(),
                waiting="",
                cache="",
                version=VersionKey(fields[b"key"].decode()),
                image=fields.get(b"image", b""),
                attempts=int(attempts),
                trace=fields[b"trace"].decode() if b"trace" in fields else "",
            ),
            prediction=PredictionId(fields[b"prediction"].decode()),
            owner=Owner(fields[b"owner"].decode()),
            digest=Digest(fields[b"digest"].decode()),
            version=VersionNumber(fields[b"version"].decode()),
            champion_output=fields[b"output"],
        )
