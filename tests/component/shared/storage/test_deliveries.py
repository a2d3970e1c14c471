"""The outbox: due deliveries are claimed once and fairly, attempts are logged, owners may ask for a retry."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from shared.domain.identifiers import ANYONE, DeliveryId, Owner, new_uuid7
from shared.domain.webhooks import DeliveryStatus
from shared.storage import deliveries, delivery_claims
from shared.storage.delivery_claims import Attempt, Claimed, Receiver, Terms
from shared.storage.recording import record

LEASE = timedelta(seconds=60)
Make = Callable[..., dict[bytes, bytes]]


@pytest.fixture
def add(engine: Engine, finished_record: Make) -> Callable[..., list[str]]:
    """Record predictions with a webhook, oldest first; return their ids: `add("https://a", count=3)`."""

    def add(url: str, *, count: int = 1, owner: str = ANYONE) -> list[str]:
        records = [finished_record(owner=owner, request={"webhook": {"url": url}}) for _ in range(count)]
        with engine.connect() as connection:
            for one in records:
                assert record(connection, [one]).announced
        return [one[b"id"].decode() for one in records]

    return add


def claim(connection: Connection, **changes: Any) -> list[Claimed]:
    options: dict[str, Any] = {"limit": 100, "each": 100, "in_hand": {}, "besides": [], "lease": LEASE} | changes
    terms = Terms(each=options["each"], in_hand=options["in_hand"], lease=options["lease"])
    return delivery_claims.claim_for_others(connection, options["besides"], limit=options["limit"], terms=terms)


def attempt(id: DeliveryId, outcome: DeliveryStatus = DeliveryStatus.PENDING, **changes: Any) -> Attempt:
    values: dict[str, Any] = {
        "started_at": datetime.now(UTC), "duration_ms": 12.5, "status": 500, "error": "answered 500",
        "response": "oh no", "pause": timedelta(seconds=5),
    }  # fmt: skip
    return Attempt(id=id, outcome=outcome, **(values | changes))


def test_a_due_delivery_is_claimed_once_and_again_after_its_lease(engine: Engine, add: Callable[..., Any]) -> None:
    [subject] = add("https://a.example/hook?x=1")
    with engine.connect() as connection:
        [one] = claim(connection, lease=timedelta(milliseconds=1))
        assert (one.subject, one.kind, one.event, one.attempts, one.body) == (
            subject, "prediction", "completed", 0, None,
        )  # fmt: skip
        assert (one.url, one.destination) == ("https://a.example/hook?x=1", "https://a.example")
        connection.execute(text("SELECT pg_sleep(0.01)"))
        connection.rollback()
        [again] = claim(connection)
        assert again.id == one.id
        assert claim(connection) == []


def test_the_oldest_come_first_and_every_destination_gets_its_share(engine: Engine, add: Callable[..., Any]) -> None:
    many = add("https://dead.example", count=20)
    [few] = add("http://Live.example:8080/hook")
    with engine.connect() as connection:
        found = claim(connection, each=3)
        assert [one.subject for one in found if "dead" in one.url] == many[:3]
        assert [one.subject for one in found if "Live" in one.url] == [few]
        assert found[-1].destination == "http://live.example:8080" or found[0].destination == "http://live.example:8080"
        dead, no = Receiver(ANYONE, "https://dead.example"), Receiver(ANYONE, "https://no.example")
        assert len(claim(connection, each=3, in_hand={dead: 1})) == 2
        assert claim(connection, each=3, in_hand={dead: 7}) == []
        assert claim(connection, besides=[dead]) == []
        terms = Terms(each=1, in_hand={}, lease=LEASE)
        live = Receiver(ANYONE, "http://live.example:8080")
        assert delivery_claims.claim_for(connection, [live], limit=9, terms=terms) == []
        [one] = delivery_claims.claim_for(connection, [dead, no], limit=9, terms=terms)
        assert one.subject == many[5]
        assert [one.subject for one in claim(connection, limit=2)] == many[6:8]


def test_owners_have_a_share_each_of_the_same_destination(engine: Engine, add: Callable[..., Any]) -> None:
    owners = [Owner(name) for name in ("ann", "bob", "cleo")]
    for owner in owners:
        add("https://hub.example/hook", count=5, owner=owner)
    ann, bob, cleo = (Receiver(owner, "https://hub.example") for owner in owners)
    with engine.connect() as connection:
        found = claim(connection, each=2, in_hand={bob: 1}, besides=[ann])
        assert sorted(one.receiver for one in found) == [bob, cleo, cleo]
        terms = Terms(each=2, in_hand={ann: 1}, lease=LEASE)
        of = [Receiver(owners[0], "https://other.example"), ann, Receiver(ANYONE, ann.destination)]
        assert [one.receiver for one in delivery_claims.claim_for(connection, of, limit=9, terms=terms)] == [ann]


def test_claiming_finds_the_one_receiver_that_is_not_excluded(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(
            text("""
            INSERT INTO webhook_deliveries (owner, subject, event, url)
            SELECT 'owner-' || n % 3, gen_random_uuid(), 'completed', 'https://' || n % 7 || '.example/' || n
            FROM generate_series(1, 20000) AS n
        """)
        )
        connection.commit()
        connection.execute(text("ANALYZE webhook_deliveries"))
        connection.commit()
        resting = [Receiver(Owner(f"owner-{n % 3}"), f"https://{n % 7}.example") for n in range(20)]
        found = claim(connection, each=2, besides=resting, lease=timedelta(minutes=1))
        assert {one.receiver for one in found} == {Receiver(Owner("owner-2"), "https://6.example")}


def test_two_workers_never_claim_the_same_delivery(engine: Engine, add: Callable[..., Any]) -> None:
    add("https://a.example", count=60)

    def work(_: int) -> list[str]:
        with engine.connect() as connection:
            return [one.id for one in claim(connection, limit=10)]

    with ThreadPoolExecutor(4) as pool:
        claimed = [id for ids in pool.map(work, range(8)) for id in ids]
    assert len(claimed) == len(set(claimed))
    assert len(claimed) <= 60


def test_a_failed_attempt_postpones_its_delivery_and_is_logged(engine: Engine, add: Callable[..., Any]) -> None:
    add("https://a.example")
    with engine.connect() as connection:
        [one] = claim(connection)
        delivery_claims.log_attempts(connection, [attempt(one.id, pause=timedelta(hours=1))])
        assert claim(connection) == []
        found = deliveries.find_delivery(connection, one.id, ANYONE)
    assert found is not None
    delivery, [logged] = found
    assert (delivery.status, delivery.attempts, delivery.delivered_at) == ("pending", 1, None)
    assert timedelta(minutes=59) < delivery.next_attempt_at - datetime.now(UTC) < timedelta(minutes=61)
    assert (logged.status, logged.error, logged.response, logged.duration_ms) == (500, "answered 500", "oh no", 12.5)


@pytest.mark.parametrize("outcome", [DeliveryStatus.DELIVERED, DeliveryStatus.EXHAUSTED])
def test_an_ended_delivery_stays_ended_until_its_owner_retries_it(
    engine: Engine, add: Callable[..., Any], outcome: DeliveryStatus
) -> None:
    add("https://a.example")
    with engine.connect() as connection:
        [one] = claim(connection, lease=timedelta(0))
        delivery_claims.log_attempts(connection, [attempt(one.id, outcome, status=200, error=None, response="")])
        # A second worker, whose lease had run out, is late with its failure.
        delivery_claims.log_attempts(connection, [attempt(one.id)])
        assert claim(connection) == []
        assert [row.status for row in deliveries.list_deliveries(connection, ANYONE, before=None, limit=9)] == [outcome]
        connection.rollback()
        assert not deliveries.retry_delivery(connection, one.id, Owner("somebody else"))
        assert deliveries.retry_delivery(connection, one.id, ANYONE)
        [again] = claim(connection)
        assert (again.id, again.attempts) == (one.id, 0)
        found = deliveries.find_delivery(connection, one.id, ANYONE)
    assert found is not None
    assert [logged.status for logged in found[1]] == [200, 500]


def test_a_returned_delivery_is_due_again(engine: Engine, add: Callable[..., Any]) -> None:
    add("https://a.example", count=2)
    with engine.connect() as connection:
        ids = [one.id for one in claim(connection)]
        delivery_claims.give_back(connection, ids[:1])
        assert [one.id for one in claim(connection)] == ids[:1]


def test_a_start_becomes_one_delivery(engine: Engine) -> None:
    start = {"owner": ANYONE, "subject": new_uuid7(), "url": "https://a.example", "body": {"status": "processing"}}
    with engine.connect() as connection:
        deliveries.add_starts(connection, [start])
        deliveries.add_starts(connection, [start])
        [one] = claim(connection)
    assert (one.event, one.subject, one.body) == ("start", start["subject"], {"status": "processing"})


def test_lists_are_by_owner_newest_first_filtered_by_status_and_subject(
    engine: Engine, add: Callable[..., Any]
) -> None:
    subjects = add("https://a.example", count=5)
    add("https://a.example", owner="b")
    with engine.connect() as connection:
        every = deliveries.list_deliveries(connection, ANYONE, before=None, limit=9)
        assert [one.subject for one in every] == subjects[::-1]
        assert deliveries.list_deliveries(connection, ANYONE, before=every[1].id, limit=2) == every[2:4]
        assert deliveries.list_deliveries(connection, ANYONE, before=None, limit=9, subject=subjects[3]) == [every[1]]
        assert (
            deliveries.list_deliveries(connection, ANYONE, before=None, limit=9, status=DeliveryStatus.EXHAUSTED) == []
        )
        assert deliveries.find_delivery(connection, every[0].id, Owner("b")) is None
        assert deliveries.find_delivery(connection, "no id\0", ANYONE) is None
        assert not deliveries.retry_delivery(connection, "no id\0", ANYONE)
