"""Which receivers get how much of what a courier can do at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from shared.storage.delivery_claims import Claimed, Receiver, Terms, claim_for, claim_for_others


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySlots:
    """How many more attempts may begin. A part is kept for receivers of whom most attempts succeed.

    A thousand receivers that hang fill the rest, for as long as an attempt may take.
    """

    room: int
    room_on_trial: int
    answering: Sequence[Receiver]
    resting: Sequence[Receiver]
    terms: Terms
    terms_on_trial: Terms

    def claim(self, connection: Connection) -> list[Claimed]:
        """Take what is due."""
        claimed = []
        if self.answering and self.room > 0:
            claimed = claim_for(connection, self.answering, limit=self.room, terms=self.terms)
        left = min(self.room - len(claimed), self.room_on_trial)
        if left > 0:
            besides = [*self.answering, *self.resting]
            claimed += claim_for_others(connection, besides, limit=left, terms=self.terms_on_trial)
        return claimed
