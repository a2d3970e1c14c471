"""Gives answers: one for a prediction, or those of a CSV in chunks, each chunk in one commit."""

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import orjson

from api.feedback.answers import check_fit, named_classes
from api.feedback.lines import Line, LineReader
from api.state.gateway import Gateway
from api.state.postgres import ask_postgres
from api.state.postgres_pages import PIECE
from shared.domain.batch import Batch
from shared.domain.errors import InvalidParameter, UnknownModel
from shared.domain.feedback import Answer
from shared.domain.identifiers import BatchId, ModelName, Owner, PredictionId, VersionNumber
from shared.domain.job import Job
from shared.domain.webhooks import Event
from shared.storage import batches
from shared.storage import feedback as storage
from shared.storage.feedback import Given, Judged

CHUNK: Final = 500
"""Lines in one commit: some 15 ms of Postgres."""
CHUNK_BYTES: Final = 1024 * 1024
MOST_REFUSALS: Final = 1000
"""Refused lines that an answer describes; all are counted."""
MOST_UNKNOWN: Final = 20
"""Classes that an answer lists as unknown to the models."""
CUSTOM_IDS_AT_ONCE: Final = 5000
BYTES_A_CUSTOM_ID: Final = 300
"""What a batch's item takes in memory while its custom_id is searched."""
AMBIGUOUS: Final = PredictionId("")


def key_digest(key: str) -> str:
    """Return what is stored of an idempotency key, of any length."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


def plain_output(job: Job) -> Any:
    """Return a job's output as an object: from Redis it is a fragment of JSON."""
    return orjson.loads(orjson.dumps(job.output))


def given_to_job(job: Job, answer: Answer, *, key: str | None) -> Given:
    """Return an answer to a prediction that has ended, recorded or not; `key` is stored as it is."""
    request = job.request
    hook = request.webhook
    return Given(
        prediction_id=job.id,
        answer=answer,
        is_recorded=False,
        key=key,
        url=hook.url if hook and Event.FEEDBACK in hook.events else None,
        facts={"model": request.model, "version": request.version, "variant": request.variant},
    )


async def known_classes(gate: Gateway, model: str, version: str) -> frozenset[str] | None:
    """Return the classes of a model's version, None where they are not known: it has none, or no longer serves."""
    try:
        route = await gate.models.get(ModelName(model))
    except UnknownModel:
        return None
    found = route.versions.get(VersionNumber(version))
    if found is not None and found.labels:
        return frozenset(found.labels)
    return None


def are_known(answer: Answer, classes: frozenset[str] | None) -> bool | None:
    """Tell whether a version knows all classes that an answer names; None where that can't be said."""
    named = named_classes(answer)
    return None if classes is None or not named else classes.issuperset(named)


@dataclass(slots=True)
class Summary:
    """What became of a CSV's lines. `empty` lines have no answer; `unknown_labels` are classes no version knows."""

    created: int = 0
    unchanged: int = 0
    refused: int = 0
    empty: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)
    unknown_labels: Counter[str] = field(default_factory=Counter)

    def refuse(self, line: Line, why: str) -> None:
        """Count a refused line; the first ones are described."""
        self.refused += 1
        if len(self.errors) < MOST_REFUSALS:
            named = line.id or line.custom_id or None
            self.errors.append({"line": line.number, "prediction": named and named[:200], "detail": why})

    def as_json(self) -> dict[str, Any]:
        """Return the object of the HTTP API."""
        return {
            "created": self.created,
            "unchanged": self.unchanged,
            "empty": self.empty,
            "refused": self.refused,
            "errors": self.errors,
            "unknown_labels": [label for label, _ in self.unknown_labels.most_common(MOST_UNKNOWN)],
        }


class CsvFeedback:
    """The feedback of one CSV on an owner's predictions, with `batch` on its items alone.

    Lines are used in their order and in chunks, each committed by itself: one that is refused does not keep others from
    being used, and what is committed stays where a store goes away in between. Repeating the whole is safe.
    """

    def __init__(self, gate: Gateway, owner: Owner, *, batch: Batch | None, key: str | None, trace: str | None) -> None:
        self.summary = Summary()
        self._gate = gate
        self._owner = owner
        self._batch = batch
        self._key = key
        self._trace = trace
        self._by_custom_id: dict[str, PredictionId] | None = None
        self._classes: dict[tuple[str, str], frozenset[str] | None] = {}

    async def give(self, chunks: AsyncIterator[bytes]) -> None:
        """Read and give all lines; raises BadRequest for a header that is none, StorageUnavailable."""
        waiting: list[tuple[PredictionId, Line]] = []
        size = 0
        async for line in LineReader(takes_custom_ids=self._batch is not None).lines(chunks):
            id = await self._target(line)
            if id is None or line.answer is None:
                continue
            # A prediction may be named again: a commit for each such line would cost Postgres 13 ms a line.
            if len(waiting) == CHUNK or size > CHUNK_BYTES:
                await self._commit(waiting)
                waiting, size = [], 0
            waiting.append((id, line))
            size += line.size
        await self._commit(waiting)

    async def _target(self, line: Line) -> PredictionId | None:
        """Return the prediction that a line is about; a line that can't be used, or has no answer, is counted."""
        if line.refusal:
            self.summary.refuse(line, line.refusal)
            return None
        if line.answer is None:
            self.summary.empty += 1
            return None
        if line.id:
            return PredictionId(line.id)
        found = (await self._custom_ids()).get(line.custom_id)
        if found is None:
            self.summary.refuse(line, "no image of this batch that has ended and is recorded has this custom_id")
        elif found == AMBIGUOUS:
            self.summary.refuse(line, "several images of this batch have this custom_id; name it by id")
        return found or None

    async def _custom_ids(self) -> dict[str, PredictionId]:
        """Return the ids of the batch's recorded items by custom_id; read once, when the first line needs it."""
        if self._by_custom_id is None:
            assert self._batch is not None  # noqa: S101  without a batch no line has a custom_id
            known: dict[str, PredictionId] = {}
            after: PredictionId | None = None
            while True:
                page = await ask_postgres(
                    self._gate,
                    lambda connection, batch=self._batch.id, after=after: batches.custom_ids(  # type: ignore[misc]
                        connection, batch, after=after, limit=CUSTOM_IDS_AT_ONCE
                    ),
                )
                for id, custom_id in page:
                    known[custom_id] = AMBIGUOUS if custom_id in known else id
                if len(page) < CUSTOM_IDS_AT_ONCE:
                    break
                after = page[-1][0]
            self._by_custom_id = known
        return self._by_custom_id

    async def _commit(self, waiting: Sequence[tuple[PredictionId, Line]]) -> None:
        """Check and commit one chunk, and count what became of its lines."""
        if not waiting:
            return
        batch = self._batch.id if self._batch else None
        ids = list(dict.fromkeys(id for id, _ in waiting))
        judged = await self._judged(ids, batch)
        unrecorded = await self._ended_in_redis([id for id in ids if id not in judged], batch)
        given: list[Given] = []
        lines: list[Line] = []
        for id, line in waiting:
            assert line.answer is not None  # noqa: S101  lines without one do not wait
            job, row = unrecorded.get(id), judged.get(id)
            found = row.output if row else plain_output(job) if job else None
            if row is None and job is None:
                self.summary.refuse(line, f"there is no such prediction{' in this batch' if batch else ''}")
            elif job is not None and not job.status.is_terminal:
                self.summary.refuse(line, f"the prediction has not ended: it is {job.status}")
            elif (misfit := _misfit(line.answer, found)) is not None:
                self.summary.refuse(line, misfit)
            else:
                given.append(self._given(row, job, line))
                lines.append(line)
                await self._note_unknown(line.answer, row, job)
        await self._store(given, lines)

    async def _store(self, given: Sequence[Given], lines: Sequence[Line]) -> None:
        if not given:
            return
        give = partial(storage.give_feedback, owner=self._owner, given=given, trace=self._trace)
        taken = await ask_postgres(self._gate, give)
        for line, became in zip(lines, taken, strict=True):
            match became.became:
                case "created":
                    self.summary.created += 1
                case "unchanged":
                    self.summary.unchanged += 1
                case "mismatch":
                    self.summary.refuse(line, "this Idempotency-Key gave it another answer before")
                case "gone":
                    self.summary.refuse(line, "there is no such prediction")

    async def _judged(self, ids: list[PredictionId], batch: BatchId | None) -> dict[PredictionId, Judged]:
        """Return the owner's recorded predictions; a hundred at a time, for Postgres reads each output."""
        found: dict[PredictionId, Judged] = {}
        for first in range(0, len(ids), PIECE):
            some = ids[first : first + PIECE]
            found |= await ask_postgres(
                self._gate, partial(storage.read_judged, owner=self._owner, ids=some, batch=batch)
            )
        return found

    async def _ended_in_redis(self, ids: list[PredictionId], batch: BatchId | None) -> dict[PredictionId, Job]:
        """Return the owner's jobs that Redis holds: those that have not ended, or are not recorded yet."""
        found: dict[PredictionId, Job] = {}
        for first in range(0, len(ids), PIECE):
            jobs = await self._gate.producer.jobs.find_all(ids[first : first + PIECE])
            found |= {job.id: job for job in jobs if job.owner == self._owner and batch in (None, job.batch)}
        return found

    def _given(self, row: Judged | None, job: Job | None, line: Line) -> Given:
        assert line.answer is not None  # noqa: S101
        judged = row or job
        assert judged is not None  # noqa: S101  one of them was found
        key = None
        if self._key:
            # With the line's number: a file may name a prediction again, and the last of its lines counts.
            digest = key_digest(f"{self._key}\n{judged.id}")
            key = f"{digest} {line.number:010}"
        if row is None:
            assert job is not None  # noqa: S101  the other one was found
            return given_to_job(job, line.answer, key=key)
        hook = row.webhook or {}
        return Given(
            prediction_id=row.id,
            answer=line.answer,
            is_recorded=True,
            key=key,
            url=hook.get("url") if Event.FEEDBACK in (hook.get("events") or ()) else None,
            facts={"model": row.model, "version": row.version, "variant": row.variant},
        )

    async def _note_unknown(self, answer: Answer, row: Judged | None, job: Job | None) -> None:
        model, version = (
            (row.model, row.version) if row else (job.request.model, job.request.version) if job else ("", "")
        )
        if (model, version) not in self._classes:
            self._classes[model, version] = await known_classes(self._gate, model, version)
        classes = self._classes[model, version]
        if classes is not None and len(self.summary.unknown_labels) < MOST_REFUSALS:
            self.summary.unknown_labels.update(name for name in named_classes(answer) if name not in classes)


def _misfit(answer: Answer, output: Any) -> str | None:
    try:
        check_fit(answer, output)
    except InvalidParameter as error:
        return error.detail
    return None
