"""What clients were promised, what was recorded of it, and whether both agree."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import orjson

from shared.domain.errors import IdempotencyMismatch, QueueFull, RateLimited
from shared.domain.identifiers import PredictionId, VersionKey, VersionNumber
from shared.domain.model_route import ShadowTarget
from shared.domain.prediction import MOVES, Status
from shared.queue.producer.submission import BatchClosed, Failed, Hit, Known, Queued, Submission, Unreadable, read_item
from shared.storage.shadow_predictions import ShadowPrediction
from tests.simulation import pictures

TARGET = ShadowTarget(champion=VersionKey("3-a"), version=VersionNumber("4"), key=VersionKey("4-b"), percent=90)
"""What the model's shadow predicts."""


class Violation(AssertionError):
    """A promise of the protocol was broken."""


@dataclass(frozen=True)
class Accepted:
    """An accepted job, and what its client was promised."""

    picture: int
    version: str
    batch: str


class Promises:
    """One history's accepted jobs, and their rows, which stand for Postgres. Contradictions raise Violation."""

    def __init__(self) -> None:
        self.accepted: dict[PredictionId, Accepted] = {}
        self.rows: dict[PredictionId, dict[str, Any]] = {}
        self._idempotency: dict[tuple[str, str], PredictionId] = {}
        self._counters: Counter[tuple[str, str]] = Counter()
        self._seen: dict[PredictionId, Status] = {}
        self._shadow_rows: dict[tuple[PredictionId, str], ShadowPrediction] = {}

    def note_accepted(self, submission: Submission | Unreadable, reply: Any) -> None:
        """Note an accepted job."""
        try:
            answer = read_item(reply, submission)
        except (QueueFull, RateLimited, IdempotencyMismatch, BatchClosed):
            return
        match answer:
            case Failed():
                self.accepted[submission.id] = Accepted(pictures.UNREADABLE, "", submission.batch)
            case Queued() | Hit() if isinstance(submission, Submission):
                self.accepted[submission.id] = Accepted(
                    int(submission.fingerprint), submission.choice.key, submission.batch
                )
                if submission.idempotency_key:
                    self._first(submission)
            case Known(id) if id not in self.accepted:
                raise Violation(f"{id} is known but was never accepted")

    def _first(self, submission: Submission) -> None:
        key = (submission.owner, submission.idempotency_key)
        if self._idempotency.setdefault(key, submission.id) != submission.id:
            raise Violation(f"two jobs under one idempotency key {key}")

    def note_seen(self, id: PredictionId, status: Status) -> None:
        """Note what a client saw: the first terminal state must stay."""
        before = self._seen.get(id)
        if before is not None and status is not before and status not in MOVES[before]:
            raise Violation(f"{id} went from {before} to {status}")
        self._seen[id] = status

    def row_status(self, id: PredictionId) -> Status:
        """Return the state in the job's row."""
        if id not in self.rows:
            raise Violation(f"{id} was accepted and is nowhere")
        return Status(self.rows[id]["state"])

    def record(self, fields: dict[str, Any]) -> None:
        """Commit a row, as many times as its recorders are killed."""
        row = self.rows.setdefault(PredictionId(fields["id"]), fields)
        if row is fields:
            self._counters[fields["batch"], fields["state"]] += 1
        elif row["state"] != fields["state"]:
            raise Violation(f"two records of {fields['id']}: {row['state']} and {fields['state']}")

    def record_shadow(self, shadow: ShadowPrediction) -> None:
        """Commit the shadow's answer to a job that has its row."""
        if self._shadow_rows.setdefault((shadow.prediction_id, shadow.version_key), shadow) != shadow:
            raise Violation(f"the shadow answered twice for {shadow.prediction_id}")

    def check_at_rest(self, *, leases_hold: bool) -> None:
        """Check that every promise was kept, exactly once."""
        missing = [id for id in self.accepted if id not in self.rows]
        if missing:
            raise Violation(f"never ended: {missing[:5]}")
        if self.rows.keys() - self.accepted.keys():
            raise Violation("rows that nobody was promised")
        counted = Counter((row["batch"], row["state"]) for row in self.rows.values())
        if counted != self._counters:
            raise Violation(f"counted {self._counters}, there are {counted}")
        for id, row in self.rows.items():
            self._check_row(row, self.accepted[id], leases_hold=leases_hold)
        for (id, key), shadow in self._shadow_rows.items():
            self._check_shadow(self.rows[id], self.accepted[id], key, shadow)

    def _check_row(self, row: dict[str, Any], promise: Accepted, *, leases_hold: bool) -> None:
        expected = pictures.output(promise.version, promise.picture).decode()
        if row["state"] == Status.SUCCEEDED and row["output"] != expected:
            raise Violation(f"{promise} was recorded as {row['output']}")
        codes = {
            "undecodable_image": pictures.UNREADABLE,
            "model_error": pictures.RAISES,
        }
        if row["code"] in codes and promise.picture != codes[row["code"]]:
            raise Violation(f"{promise} failed for its neighbour: {row['code']}")
        given_up = row["code"] == "worker_lost" and promise.picture != pictures.POISON
        if given_up and leases_hold:
            raise Violation(f"{promise} was given up though innocent")

    def _check_shadow(self, row: dict[str, Any], promise: Accepted, key: str, shadow: ShadowPrediction) -> None:
        """Check that a shadow's answer is of its picture, beside a success that the champion computed."""
        if (row["state"], row["source"], promise.version, key) != ("succeeded", "model", TARGET.champion, TARGET.key):
            raise Violation(f"a shadow predicted {promise}, which ended as {row}")
        expected = orjson.loads(pictures.output(TARGET.key, promise.picture))
        if shadow.status == Status.SUCCEEDED and shadow.output != expected:
            raise Violation(f"the shadow's answer to {promise} is {shadow.output}")
