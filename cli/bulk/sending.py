"""Sends a run's parts one after another, and writes each accepted one to the journal."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from cli.bulk import batches
from cli.bulk.journal import Entry, Journal, idempotency_key
from cli.bulk.packing import Packed, packed_part
from cli.bulk.parts import Failure, Part
from cli.bulk.resuming import Taken
from cli.client import Client, Declined
from cli.terminal.lines import say
from cli.terminal.names import shown


@dataclass(slots=True, kw_only=True)
class Sending:
    """A run in progress. One thread sends, another polls."""

    journal: Journal
    model: str | None
    webhook: str | None
    pipeline: Mapping[str, str | None]
    waiting: list[Part]
    """Parts still to be sent, the next one first."""
    taken: list[Taken]
    """Parts that the gateway accepted, in this run or, on resuming, before."""
    watched: list[Taken] = field(default_factory=list)
    """Those of them that had not ended when this run began."""
    failures: list[Failure] = field(default_factory=list)
    """Files that will not get a result."""
    is_over: threading.Event = field(default_factory=threading.Event)
    """Set when nothing more will be sent."""

    @property
    def ended(self) -> int:
        """Number of images that have ended, in watched parts."""
        return sum(taken.done for taken in self.watched)

    @property
    def done(self) -> int:
        """Number of images that have ended or will not get a result."""
        return self.ended + len(self.failures)

    @property
    def total(self) -> int | None:
        """Number of images in all; None while an archive waits, whose images are not counted yet."""
        if any(part.is_archive for part in self.waiting):
            return None
        there = sum(taken.total for taken in self.watched)
        return len(self.failures) + there + sum(len(part.files) for part in self.waiting)

    def send_all(self, client: Client) -> None:
        """Send all waiting parts, or as many as the gateway accepts.

        Raises Declined where it accepted none or does not answer, and OSError where the disk has no room for a part.
        """
        try:
            while self.waiting:
                rest = self._send(client, self.waiting[0])
                self.waiting[:1] = [rest] if rest else []
        except Declined as declined:
            if not self.taken or not declined.status:
                raise
            left = [file for part in self.waiting for file in part.files]
            self.waiting.clear()
            self.give_up([Failure(file.name, "not sent", str(declined)) for file in left])
        self.is_over.set()

    def give_up(self, failures: Sequence[Failure]) -> None:
        """Record files without a result, and print in one line which and why."""
        self.failures += failures
        if failures:
            first, *others = failures
            more = f" and {len(others):,} more" if others else ""
            say(shown(f"{first.name}{more}  {first.status}  {first.reason}"))

    def _send(self, client: Client, part: Part) -> Part | None:
        """Send one part; return the rest of it to send again where a file in it was refused, else None."""
        with packed_part(part) as found:
            for failure in found.unread:
                self.give_up([failure])
            if not found.files:
                return None
            asked = {"model": self.model, "webhook": self.webhook}
            key = idempotency_key(
                self.journal.run, **asked, files=found.marks, tries=part.tries, pipeline=self.pipeline
            )
            try:
                batch = batches.upload_archive(client, found.archive, **asked, key=key, pipeline=self.pipeline)
            except Declined as declined:
                return self._without_refused(part, found, declined)
        entry = Entry(batch.id, found.marks, part.is_archive)
        self.journal.add(entry)
        taken = Taken(entry, batch)
        self.taken.append(taken)
        self.watched.append(taken)
        return None

    def _without_refused(self, part: Part, found: Packed, declined: Declined) -> Part | None:
        """Give up the refused files of a part and return the rest; raises Declined where the part is not the cause."""
        refused = [file for file in found.files if file.name == declined.facts.get("entry") and not part.is_archive]
        if not refused and not _is_about(part, declined):
            raise declined
        refused = refused or list(found.files)
        self.give_up([Failure(file.name, "not taken", str(declined)) for file in refused])
        rest = tuple(file for file in found.files if file not in refused)
        return Part(rest, part.tries) if rest else None


def _is_about(part: Part, declined: Declined) -> bool:
    """Tell whether the content of the part was refused; otherwise the next part would be refused as well."""
    content = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, HTTPStatus.UNPROCESSABLE_ENTITY)
    return declined.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE or (part.is_archive and declined.status in content)
