"""Resuming a run: which parts the gateway has accepted, and which files are still to be sent."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from cli.bulk import batches
from cli.bulk.batches import Batch
from cli.bulk.journal import Entry
from cli.bulk.parts import File, Mark, Part, split_into_parts
from cli.client import Client


@dataclass(slots=True)
class Taken:
    """A part that the gateway accepted, and its batch as read last; None where the gateway no longer knows it."""

    entry: Entry
    batch: Batch | None

    @property
    def has_ended(self) -> bool:
        """Whether its results are final."""
        return self.batch is None or self.batch.has_ended

    @property
    def total(self) -> int:
        """Number of its images."""
        return len(self.entry.files) if self.batch is None else self.batch.total

    @property
    def done(self) -> int:
        """Number of its images that have ended."""
        return self.total if self.batch is None else self.batch.done


def known_parts(client: Client, entries: Sequence[Entry]) -> list[Taken]:
    """Return the parts of an earlier run that the gateway still knows; raises Declined."""
    found = [Taken(entry, batches.read_batch(client, entry.batch)) for entry in entries]
    return [taken for taken in found if taken.batch is not None]


def still_to_send(
    client: Client, files: Sequence[File], *, entries: Sequence[Entry], taken: Sequence[Taken]
) -> list[Part]:
    """Return parts with every file, as it is now, that has neither succeeded nor is in progress; raises Declined.

    Files never accepted are kept apart from those sent again, in their order: a part whose 202 was lost is then the
    same part again, and the gateway recognises its idempotency key.
    """
    fine: dict[str, Mark] = {}
    for part in taken:
        in_vain = _in_vain(client, part)
        for mark in part.entry.files:
            if mark.name in in_vain:
                fine.pop(mark.name, None)
            else:
                fine[mark.name] = mark
    tries = Counter(mark for entry in entries for mark in entry.files)
    left = defaultdict[int, list[File]](list)
    for file in files:
        if fine.get(file.name) != file.mark:
            left[tries[file.mark]].append(file)
    return [part for times in sorted(left) for part in split_into_parts(left[times], tries=times)]


def _in_vain(client: Client, taken: Taken) -> set[str]:
    """Return the names in a part that have not succeeded and will not."""
    batch, names = taken.batch, {mark.name for mark in taken.entry.files}
    if batch is None:
        return names
    is_over = batch.has_ended or batch.status == "canceled"
    if not is_over or batch.has_succeeded:
        return set()
    if taken.entry.is_archive:
        return names
    ended = {result.name: result.status for result in batches.image_results(client, batch.id)}
    # In a canceled batch an image without a result will not get one.
    default = "canceled" if batch.status == "canceled" else "succeeded"
    return {name for name in names if ended.get(name, default) != "succeeded"}
