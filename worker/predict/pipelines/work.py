"""One picture of a pipeline on its way through the steps, and those of a micro-batch that are not finished yet."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from shared.domain.pipeline_plan import Plan
from shared.queue.consumer.entries import Entry
from worker.predict.pipelines.answer import Failed
from worker.predict.pipelines.asking import Question
from worker.predict.pipelines.condition import Selection


@dataclass(slots=True)
class Work:
    """A decoded picture: `first` and `step` are the answer so far, `selections` what goes on to the second step."""

    entry: Entry
    plan: Plan
    picture: Image.Image
    first: dict[str, Any] = field(default_factory=dict)
    step: dict[str, Any] = field(default_factory=dict)
    selections: list[tuple[Selection, Question]] = field(default_factory=list)
    left_out: int = 0
    degraded: bool = False
    failure: Failed | None = None


@dataclass(slots=True)
class Unfinished:
    """Pictures whose second step is still to be asked (`works`), and entries of which nothing is done (`entries`)."""

    works: list[Work] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)

    def all_entries(self) -> list[Entry]:
        """Return the entries of both."""
        return [*(work.entry for work in self.works), *self.entries]

    def add(self, other: "Unfinished") -> None:
        """Append another's."""
        self.works += other.works
        self.entries += other.entries

    def keep(self, wanted: Collection[tuple[str, str]]) -> None:
        """Drop what is not among these, by lane and entry id: nobody waits for it any more."""
        self.works = [work for work in self.works if (work.entry.lane, work.entry.id) in wanted]
        self.entries = [entry for entry in self.entries if (entry.lane, entry.id) in wanted]

    def take_works(self, most: int) -> list[Work]:
        """Take the first pictures with at most so many selections together, or the first one."""
        place = selections = 0
        for place, work in enumerate(self.works):
            selections += len(work.selections)
            if place and selections > most:
                break
        else:
            place = len(self.works)
        taken, self.works = self.works[:place], self.works[place:]
        return taken
