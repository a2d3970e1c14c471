"""Counts submissions by model and outcome."""

from typing import Literal, assert_never

from prometheus_client import Counter

from shared.domain.identifiers import ModelName
from shared.queue.producer.submission import Answer, Failed, Hit, Known, Queued, Submission, Unreadable

Outcome = Literal["queued", "joined", "cached", "unreadable", "repeated", "limited", "refused"]


class SubmissionCounter:
    """The metric; children of its labels are kept in a table, because looking one up costs three times a count."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._children: dict[tuple[ModelName, Outcome], Counter] = {}

    def count(self, model: ModelName, outcome: Outcome, images: int = 1) -> None:
        """Count images of one model, all with the same outcome."""
        child = self._children.get((model, outcome))
        if child is None:
            child = self._children[model, outcome] = self._counter.labels(model, outcome)
        child.inc(images)


def outcome_of(submission: Submission | Unreadable, answer: Answer | Failed) -> Outcome:
    """Return what became of a submission that was accepted."""
    match answer:
        case Queued(joined=joined):
            return "joined" if joined else "queued"
        case Hit():
            return "cached"
        case Failed():
            return "unreadable"
        case Known(id):
            # Its own id: the script ran twice, because the first answer was lost with a connection.
            return "queued" if id == submission.id else "repeated"
    assert_never(answer)
