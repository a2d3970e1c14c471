from shared.domain.identifiers import ModelName, Owner
from shared.queue import keys
from shared.queue.consumer.heavy_room import HeavyRoom

HEAVY = keys.lane(ModelName("digits"), keys.heavy_lane(Owner("ann")))
MIXED = keys.lane(ModelName("digits"), keys.bulk_lane("b1"))
LIGHT = keys.lane(ModelName("digits"), keys.bulk_lane("b2"))


def test_heavy_lanes_together_give_no_more_than_there_is_room_for() -> None:
    heavy = HeavyRoom(3, {MIXED})
    assert (heavy.most_from(HEAVY, 16), heavy.most_from(MIXED, 16), heavy.most_from(LIGHT, 16)) == (3, 3, 16)
    heavy.take(HEAVY, 1)
    heavy.take(LIGHT, 8)
    assert (heavy.most_from(MIXED, 16), heavy.most_from(LIGHT, 16)) == (2, 16)
    assert heavy.skipped_lanes() == ()
    heavy.take(MIXED, 2)
    assert heavy.skipped_lanes() == (keys.heavy_mark(), MIXED)
