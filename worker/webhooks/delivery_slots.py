"""Splits delivery slots between healthy receivers and all others."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from shared.storage.delivery_claims import Claimed, Receiver, Terms, claim_for, claim_for_others


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySlots:
    """How many more attempts may begin now; `room_for_others` of them with receivers that are not healthy.

    So a part is kept for healthy receivers: a thousand that hang fill only the rest, for as long as attempts may take.
    """

    room: int
    room_for_others: int
    healthy: Sequence[Receiver]
    resting: Sequence[Receiver]
    terms: Terms
    terms_of_others: Terms

    def claim(self, connection: Connection) -> list[Claimed]:
        """Claim due deliveries up to the slots: first those to healthy receivers."""
        claimed = []
        if self.healthy and self.room > 0:
            claimed = claim_for(connection, self.healthy, limit=self.room, terms=self.terms)
        left = min(self.room - len(claimed), self.room_for_others)
        if left > 0:
            excluded = [*self.healthy, *self.resting]
            claimed += claim_for_others(connection, excluded, limit=left, terms=self.terms_of_others)
        return claimed
