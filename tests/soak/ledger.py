"""What clients asked for and what they were answered. Standard library only.

It knows nothing of how Darkroom works. What it holds every answer to is the contract: an accepted id stays
known, an end never changes, each picture gets its own answer.
"""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from tests.soak.pictures import FAILING, right_class

ENDS = frozenset({"succeeded", "failed", "canceled"})
STATES = ENDS | {"starting", "processing"}


@dataclass(slots=True)
class Submission:
    """One picture (or broken file: `number` is None) that a client wants predicted once, however often it asks."""

    mark: str
    """Its Idempotency-Key; also in its metadata, which is how its row is known where no answer came."""
    number: int | None
    may_be_canceled: bool = False
    webhook: bool = False
    on_error: str = ""
    """`fail` or `degrade` of a pipeline whose second model may fail; '' where none does."""
    id: str | None = None
    """None: no answer said so yet, or it was refused."""
    refused: bool = False


@dataclass(slots=True)
class Upload:
    """Many pictures in one call: `numbers` by the name that each was sent under; None for a broken file."""

    mark: str
    numbers: dict[str, int | None]
    webhook: bool = False
    on_error: str = ""
    id: str | None = None


@dataclass
class Ledger:
    """Everything that was asked and answered; safe to use from many threads."""

    submissions: dict[str, Submission] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    never: set[str] = field(default_factory=set)
    """Tokens of requests that were cut off half sent: nothing may ever come of them."""
    violations: list[str] = field(default_factory=list)
    feedback: dict[str, list[str]] = field(default_factory=dict)
    """The labels that clients gave to a prediction and were answered for, in their order, by the prediction's id."""
    answers: dict[str, int] = field(default_factory=dict)
    """How often each kind of answer came, connections that broke among them."""
    longest_gap: float = 0.0
    """Seconds, the longest time without a submission being accepted."""
    _by_id: dict[str, Submission] = field(default_factory=dict)
    _ends: dict[str, str] = field(default_factory=dict)
    _ended_by: dict[str, float] = field(default_factory=dict)
    """When an answer with each end was here."""
    _accepted_at: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self) -> None:
        """Start the clock of `longest_gap`."""
        with self._lock:
            self._accepted_at = time.monotonic()

    def asked(self, submission: Submission) -> None:
        """Note a submission before it is sent."""
        with self._lock:
            self.submissions[submission.mark] = submission

    def asked_many(self, upload: Upload) -> None:
        """Note an upload before it is sent."""
        with self._lock:
            self.uploads[upload.mark] = upload

    def cut_off(self, mark: str) -> None:
        """Note a request that will not be sent whole."""
        with self._lock:
            self.never.add(mark)

    def counted(self, answer: str) -> None:
        """Count an answer by its kind."""
        with self._lock:
            self.answers[answer] = self.answers.get(answer, 0) + 1

    def violated(self, words: str) -> None:
        """Note what the contract does not allow."""
        with self._lock:
            self.violations.append(words)

    def accepted(self, submission: Submission, body: dict[str, Any]) -> None:
        """Note a prediction that answered a submission."""
        id = str(body.get("id"))
        with self._lock:
            now = time.monotonic()
            self.longest_gap = max(self.longest_gap, now - self._accepted_at)
            self._accepted_at = now
            if submission.id not in (None, id):
                self.violations.append(f"one Idempotency-Key, two predictions: {submission.id} and {id}")
            other = self._by_id.get(id, submission)
            if other is not submission:
                self.violations.append(f"two submissions, one prediction {id}")
            submission.id = id
            self._by_id[id] = submission
        self.saw(body)

    def accepted_many(self, upload: Upload, id: str) -> None:
        """Note a batch that answered an upload."""
        with self._lock:
            if upload.id not in (None, id):
                self.violations.append(f"one Idempotency-Key, two batches: {upload.id} and {id}")
            upload.id = id

    def saw(self, body: dict[str, Any], *, asked: float | None = None) -> None:
        """Hold a prediction, as an answer showed it, to what was sent and to what was seen before.

        `asked` is when the request was sent, by the monotonic clock, None for now: an answer from before the end may
        come here after it.
        """
        id, status = str(body.get("id")), str(body.get("status"))
        with self._lock:
            submission, before = self._by_id.get(id), self._ends.get(id)
            if status not in STATES:
                self.violations.append(f"{id} has the status {status!r}")
            came_late = asked is not None and status not in ENDS and asked < self._ended_by.get(id, 0.0)
            if before is not None and status != before and not came_late:
                self.violations.append(f"{id} had ended as {before} and is {status}")
            if status in ENDS:
                self._ends.setdefault(id, status)
                self._ended_by.setdefault(id, time.monotonic())
            if submission is not None and status in ENDS:
                self.violations += wrong_end(
                    submission.number,
                    body,
                    may_be_canceled=submission.may_be_canceled,
                    on_error=submission.on_error,
                )

    def choose_to_label(self, most: int, *, labelled: bool) -> list[str]:
        """Return up to so many predictions that succeeded, with or without a label; those of the last come first."""
        with self._lock:
            newest = (id for id, end in reversed(self._ends.items()) if end == "succeeded" and id in self._by_id)
            return list(islice((id for id in newest if (id in self.feedback) is labelled), most))

    def labelled(self, labels: Iterable[tuple[str, str]]) -> None:
        """Note labels that were given and answered, in the order in which they count."""
        with self._lock:
            for id, label in labels:
                self.feedback.setdefault(id, []).append(label)

    def known_ids(self) -> list[str]:
        """Return the ids of all predictions that were accepted one by one, in that order."""
        with self._lock:
            return list(self._by_id)

    def accepted_uploads(self) -> list[Upload]:
        """Return the uploads that became a batch."""
        with self._lock:
            return [upload for upload in self.uploads.values() if upload.id is not None]

    def wanted_webhooks(self) -> set[str]:
        """Return the ids of predictions and batches whose end is to be sent to a webhook."""
        with self._lock:
            asked: list[Submission | Upload] = [*self.submissions.values(), *self.uploads.values()]
            return {one.id for one in asked if one.webhook and one.id is not None}

    def end_of(self, id: str) -> str | None:
        """Return how a prediction ended, as far as a client saw it."""
        with self._lock:
            return self._ends.get(id)


def wrong_end(
    number: int | None, body: dict[str, Any], *, may_be_canceled: bool = False, on_error: str = ""
) -> list[str]:
    """Return what is wrong with the end of a prediction of this number's picture (None: of a broken file).

    With `on_error`, of a pipeline from the first version to the third, which raises for some numbers.
    """
    id, status, output = body.get("id"), body["status"], body.get("output")
    if status == "canceled":
        return [] if may_be_canceled else [f"{id} was canceled and nobody asked for that"]
    if number is None:
        right = status == "failed" and body.get("error_code") == "undecodable_image"
        return [] if right else [f"{id} is of a broken file and {status}, {body.get('error_code')}"]
    raises = on_error != "" and number % FAILING == 0
    if status == "failed":
        # A picture that three killed workers had in their hands is suspected of it, and given up as promised.
        suspected = body.get("error_code") == "worker_lost" and (body.get("attempts") or 0) >= 3
        fails = raises and on_error == "fail" and body.get("error_code") == "model_error"
        return [] if suspected or fails else [f"{id} failed: {body.get('error_code')}, {body.get('error')}"]
    if raises and on_error == "fail":
        return [f"{id} succeeded although a member raises for {number}"]
    if isinstance(output, dict) and "pipeline" in output:
        return _wrong_pipeline(number, str(id), output, second="3" if on_error else "2", raises=raises)
    wanted = right_class(number, str(body["version"]))
    found = output.get("predicted_index") if isinstance(output, dict) else output
    return [] if found == wanted else [f"{id}: version {body['version']} said {found} of {number}, not {wanted}"]


def _wrong_pipeline(number: int, id: str, output: dict[str, Any], *, second: str, raises: bool) -> list[str]:
    """Return what is wrong with an ensemble of the first version and `second`, or with a chain from one to the other.

    Where the second one `raises`, the first one's answer alone has to be there, and to be called degraded.
    """
    first, *then = output["pipeline"]["steps"]
    if then:
        results = [(second, None if "error" in one else output) for one in then[0]["results"]]
        said = [("1", first.get("output", output)), *results]
    else:
        said = [(str(one["version"]), one.get("output")) for one in first["models"]]
    if [version for version, _ in said] != ["1", second]:
        return [f"{id}: a pipeline of two versions was answered by {[version for version, _ in said]}"]
    silent = [version for version, one in said if one is None]
    if silent != ([second] if raises else []) or output["pipeline"]["degraded"] is not raises:
        return [f"{id}: of {number} versions {silent} said nothing, degraded is {output['pipeline']['degraded']}"]
    wrong = [version for version, one in said if one and one["predicted_index"] != right_class(number, version)]
    return [f"{id}: version {version} answered wrongly in a pipeline" for version in wrong]
