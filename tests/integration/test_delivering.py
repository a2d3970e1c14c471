"""Webhook delivery from the outbox: signed, retried after failures, healthy receivers not delayed by failing ones.

Over 300 lines: its tests share their helpers.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
import redis
from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, Engine, select, text
from standardwebhooks import WebhookVerificationError

from shared.domain.identifiers import ANYONE, new_uuid7
from shared.observability.metrics import WebhookMetrics
from shared.presentation.stream_tokens import StreamTokens
from shared.settings import Database, Webhooks
from shared.storage import deliveries, webhook_secrets
from shared.storage.delivery_claims import Terms, claim_for_others
from shared.storage.engine import make_engine
from shared.storage.migrate import upgrade
from shared.storage.recording import record
from shared.storage.tables import webhook_attempts
from tests.support.observations import webhook_metrics
from tests.support.receivers import Came, ok, receiving
from tests.support.servers import PostgresServer
from tests.support.waiting import LIMIT
from worker.webhooks.courier import Courier
from worker.webhooks.sender import Sender
from worker.webhooks.start_events import StartEvents

Make = Callable[..., dict[bytes, bytes]]
TOKENS = StreamTokens(b"secret")
LOOPBACK = (ip_network("127.0.0.0/8"),)
SOON = timedelta(milliseconds=100)


@pytest.fixture
def courier(redis_client: redis.Redis, engine: Engine) -> Iterator[Callable[..., Courier]]:
    """Start a courier; keywords are settings."""
    with ExitStack() as stack:

        def start(engine: Engine = engine, metrics: WebhookMetrics | None = None, **changes: Any) -> Courier:
            settings = Webhooks(**{"allowed_networks": LOOPBACK, "pauses": (SOON,) * 3} | changes)
            made = Courier(
                engine,
                settings=settings,
                tokens=TOKENS,
                sender=lambda: Sender(
                    allowed=settings.allowed_networks,
                    timeout=settings.timeout,
                    max_connections=settings.at_once,
                ),
                collect=StartEvents(redis_client, engine, tokens=TOKENS).collect,
                metrics=metrics or webhook_metrics(),
            )
            made.start()
            stack.callback(made.stop)
            return made

        yield start


@pytest.fixture
def announce(engine: Engine, finished_record: Make) -> Callable[..., list[str]]:
    """Record so many predictions with a webhook; return their ids."""

    def announce(*urls: str, owner: str = ANYONE) -> list[str]:
        records = [finished_record(owner=owner, request={"webhook": {"url": url}}) for url in urls]
        with engine.connect() as connection:
            record(connection, records)
        return [one[b"id"].decode() for one in records]

    return announce


@pytest.fixture
def secret(engine: Engine) -> str:
    with engine.connect() as connection:
        return webhook_secrets.signing_secrets(connection, ANYONE, overlap=timedelta(days=1))[0]


def every(engine: Engine) -> list[deliveries.Delivery]:
    with engine.connect() as connection:
        return deliveries.list_deliveries(connection, ANYONE, before=None, limit=20_000)


def wait_until(holds: Callable[[], bool], *, limit: float = LIMIT) -> None:
    end = time.monotonic() + limit
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def has_status(engine: Engine, status: str) -> Callable[[], bool]:
    return lambda: {one.status for one in every(engine)} == {status}


def attempts(engine: Engine) -> list[deliveries.Logged]:
    [one] = every(engine)
    with engine.connect() as connection:
        found = deliveries.find_delivery(connection, one.id, ANYONE)
    assert found is not None
    return found[1]


def test_the_prediction_arrives_signed(
    engine: Engine, courier: Callable[..., Courier], announce: Callable[..., list[str]], secret: str
) -> None:
    courier()
    with receiving() as receiver:
        [id] = announce(receiver.url)
        [came] = receiver.wait_for(1)
        wait_until(has_status(engine, "delivered"))
    came.verify(secret)
    with pytest.raises(WebhookVerificationError):
        came.verify(webhook_secrets.new_secret())
    assert came.json["id"] == id
    assert came.json["status"] == "succeeded"
    assert came.json["output"]["predicted_class"] == "7"
    assert came.json["urls"]["get"] == f"http://host:8000/v1/predictions/{id}"
    [delivery] = every(engine)
    assert (came.id, "." in came.id) == (delivery.id, False)
    assert [(one.status, one.error) for one in attempts(engine)] == [(204, None)]


def test_during_a_rotation_both_secrets_sign(
    engine: Engine, courier: Callable[..., Courier], announce: Callable[..., list[str]], secret: str
) -> None:
    with engine.connect() as connection:
        newer = webhook_secrets.rotate_secret(connection, ANYONE, overlap=timedelta(days=1))
    courier()
    with receiving() as receiver:
        announce(receiver.url)
        [came] = receiver.wait_for(1)
    came.verify(secret)
    came.verify(newer)
    assert len(came.headers["webhook-signature"].split()) == 2


def test_a_batch_is_delivered_when_its_last_image_is_recorded(
    engine: Engine, courier: Callable[..., Courier], finished_record: Make, batch_record: Make, secret: str
) -> None:
    courier()
    batch = new_uuid7()
    with receiving() as receiver, engine.connect() as connection:
        skipped = {"skipped": 1, "skipped_files": ["labels.csv"]}
        record(connection, [batch_record(batch, total=2, request={"webhook": {"url": receiver.url}} | skipped)])
        record(connection, [finished_record(batch=batch)])
        record(connection, [finished_record(batch=batch, state="failed")])
        [came] = receiver.wait_for(1)
        wait_until(has_status(engine, "delivered"))
    came.verify(secret)
    assert (came.json["id"], came.json["status"]) == (batch, "completed")
    assert (came.json["skipped"], came.json["skipped_files"]) == (1, ["labels.csv"])
    assert came.json["request_counts"] == {"total": 2, "succeeded": 1, "failed": 1, "canceled": 0}
    assert came.json["urls"]["results"] == f"http://host:8000/v1/batches/{batch}/results"


def test_a_failed_delivery_is_retried_with_the_same_id_and_a_new_signature(
    engine: Engine, courier: Callable[..., Courier], announce: Callable[..., list[str]], secret: str
) -> None:
    courier(pauses=(timedelta(seconds=1.5),))
    with receiving(lambda came, before: ok(came, before) if before else (500, {}, b"not today")) as receiver:
        announce(receiver.url)
        first, second = receiver.wait_for(2)
        wait_until(has_status(engine, "delivered"))
    assert first.id == second.id
    assert second.at - first.at > 1
    assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]
    first.verify(secret)
    second.verify(secret)
    assert [(one.status, one.response) for one in attempts(engine)] == [(500, "not today"), (204, None)]


def test_after_the_last_attempt_it_is_exhausted_until_retried_by_request(
    engine: Engine, courier: Callable[..., Courier], announce: Callable[..., list[str]],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    registry = CollectorRegistry()
    made = courier(pauses=(SOON, SOON), metrics=WebhookMetrics(registry))
    with receiving(lambda came, before: (301, {"Location": receiver.url}, b"") if before < 3 else ok(came, before)) as (
        receiver
    ):
        [id] = announce(receiver.url + "/a-secret?token=another")
        wait_until(has_status(engine, "exhausted"))
        [delivery] = every(engine)
        assert [one.error for one in attempts(engine)] == ["answered 301; redirects are not followed"] * 3
        with engine.connect() as connection:
            assert deliveries.retry_delivery(connection, delivery.id, ANYONE)
        made.wake()
        assert {came.id for came in receiver.wait_for(4)} == {delivery.id}
        wait_until(has_status(engine, "delivered"))
    counted = {outcome: registry.get_sample_value("darkroom_webhook_attempts_total", {"outcome": outcome})
               for outcome in ("delivered", "pending", "exhausted")}  # fmt: skip
    assert counted == {"delivered": 1, "pending": 2, "exhausted": 1}
    assert registry.get_sample_value("darkroom_webhook_attempt_seconds_count") == 4
    told = [vars(record) for record in caplog.records if record.getMessage() == "webhook_attempted"]
    assert [(line["prediction_id"], line["destination"]) for line in told] == [
        (id, receiver.url.removesuffix("/hook"))
    ] * 4
    assert not any("secret" in str(line) or "token" in str(line) for line in told)


def test_a_receiver_that_answers_410_is_not_tried_again(
    engine: Engine, courier: Callable[..., Courier], announce: Callable[..., list[str]]
) -> None:
    courier()
    with receiving(lambda *_: (410, {}, b"")) as receiver:
        announce(receiver.url)
        wait_until(has_status(engine, "exhausted"))
        assert len(receiver.came) == 1


def test_retry_after_is_respected(
    engine: Engine, courier: Callable[..., Courier], announce: Callable[..., list[str]]
) -> None:
    courier()

    def answers(came: Came, before: int) -> tuple[int, dict[str, str], bytes]:
        return ok(came, before) if before else (429, {"Retry-After": "2"}, b"")

    with receiving(answers) as receiver:
        announce(receiver.url)
        first, second = receiver.wait_for(2)
        assert second.at - first.at > 1.9
        wait_until(has_status(engine, "delivered"))


def test_internal_addresses_are_not_called(
    engine: Engine, courier: Callable[..., Courier], announce: Callable[..., list[str]]
) -> None:
    courier(allowed_networks=(), pauses=())
    with receiving() as receiver:
        announce(receiver.url)
        wait_until(has_status(engine, "exhausted"))
        assert receiver.came == []
    [attempt] = attempts(engine)
    assert attempt.error == "127.0.0.1 leads to no address that may be called"


def test_a_courier_killed_before_recording_an_answer_delivers_again(
    database_url: str, engine: Engine, courier: Callable[..., Courier], announce: Callable[..., list[str]]
) -> None:
    program = f"""
import time
from tests.integration.test_delivering import LOOPBACK, TOKENS
from datetime import timedelta
from shared.settings import Database, Webhooks
from shared.storage.engine import make_engine
from tests.support.observations import webhook_metrics
from worker.webhooks.sender import Sender
from worker.webhooks.courier import Courier
settings = Webhooks(allowed_networks=LOOPBACK, timeout=timedelta(minutes=9), lease=timedelta(minutes=10))
Courier(make_engine(Database(url={database_url!r})), settings=settings, tokens=TOKENS,
        sender=lambda: Sender(allowed=LOOPBACK), collect=lambda: None, metrics=webhook_metrics()).start()
time.sleep(60)
"""
    child: list[subprocess.Popen[bytes]] = []

    def answers(came: Came, before: int) -> tuple[int, dict[str, str], bytes]:
        if not before:
            os.kill(child[0].pid, signal.SIGKILL)
        return ok(came, before)

    with receiving(answers) as receiver:
        announce(receiver.url)
        child.append(subprocess.Popen([sys.executable, "-c", program]))
        receiver.wait_for(1)
        child[0].wait()
        assert [one.status for one in every(engine)] == ["pending"]
        with engine.begin() as connection:  # its lease ends
            connection.execute(text("UPDATE webhook_deliveries SET next_attempt_at = clock_timestamp()"))
        courier()
        first, second = receiver.wait_for(2)
        wait_until(has_status(engine, "delivered"))
    assert first.id == second.id
    assert len(attempts(engine)) == 1, "of the one that was killed nothing is known"


def test_a_failing_receiver_rests_and_gets_all_when_it_recovers(
    engine: Engine, courier: Callable[..., Courier], announce: Callable[..., list[str]]
) -> None:
    # A resting receiver is tried with a few deliveries at a time; when it answers, all others follow.
    courier(at_once_each=2, breaker_attempts=3, breaker_rest=timedelta(seconds=1), pauses=(SOON,) * 9)
    alive = []
    with receiving(lambda came, before: ok(came, before) if alive else (503, {}, b"")) as receiver:
        began = time.monotonic()
        announce(*[receiver.url] * 30)
        receiver.wait_for(3)
        time.sleep(0.5)
        rests = int(time.monotonic() - began)
        assert len(receiver.came) <= 5 + 2 * rests, "thirty wait, and it is left alone"
        alive.append(True)
        wait_until(has_status(engine, "delivered"))


def test_a_flaky_receiver_gets_most_deliveries_at_once(
    engine: Engine, courier: Callable[..., Courier], announce: Callable[..., list[str]]
) -> None:
    courier(pauses=(timedelta(hours=1),))
    # 62% succeed, with up to nine failures in a row: a rule of five in a row would open the breaker.
    fails = [*range(9), *range(20, 28), *range(50, 58), *range(70, 78), *range(90, 95)]

    def answers(came: Came, before: int) -> tuple[int, dict[str, str], bytes]:
        return (503, {}, b"") if before % 100 in fails else ok(came, before)

    assert len(fails) == 38
    with receiving(answers) as receiver:
        announce(*[receiver.url] * 500)
        receiver.wait_for(500)
        wait_until(lambda: sum(one.attempts for one in every(engine)) == 500)
        assert sum(one.status == "delivered" for one in every(engine)) == 310


def test_one_owners_dead_url_does_not_open_anothers_breaker(
    engine: Engine, courier: Callable[..., Courier], announce: Callable[..., list[str]]
) -> None:
    courier(breaker_rest=timedelta(hours=1))

    def answers(came: Came, before: int) -> tuple[int, dict[str, str], bytes]:
        return ok(came, before) if came.path == "/live" else (503, {}, b"")

    with receiving(answers, path="") as receiver:
        announce(*[f"{receiver.url}/dead"] * 100, owner="somebody else")
        receiver.wait_for(10)
        announce(*[f"{receiver.url}/live"] * 30)
        wait_until(has_status(engine, "delivered"))
        assert sum(came.path == "/dead" for came in receiver.came) < 30


def test_urls_that_answer_410_open_no_breaker(
    engine: Engine, courier: Callable[..., Courier], announce: Callable[..., list[str]]
) -> None:
    courier(breaker_rest=timedelta(hours=1))

    def answers(came: Came, before: int) -> tuple[int, dict[str, str], bytes]:
        return (410, {}, b"") if came.path == "/gone" else ok(came, before)

    with receiving(answers, path="") as receiver:
        announce(*[f"{receiver.url}/gone"] * 50)
        wait_until(has_status(engine, "exhausted"))
        announce(*[f"{receiver.url}/live"] * 30)
        wait_until(lambda: sum(one.status == "delivered" for one in every(engine)) == 30)


def test_no_delivery_is_lost_while_postgres_is_down(
    start_postgres: Callable[[], PostgresServer], finished_record: Make, courier: Callable[..., Courier]
) -> None:
    postgres = start_postgres()
    upgrade(postgres.url)
    engine = make_engine(Database(url=postgres.url))
    stopped = threading.Event()

    def answers(came: Came, before: int) -> tuple[int, dict[str, str], bytes]:
        if not before:
            postgres.stop()
            stopped.set()
        return ok(came, before)

    with receiving(answers) as receiver:
        with engine.connect() as connection:
            record(connection, [finished_record(request={"webhook": {"url": receiver.url}}) for _ in range(3)])
        engine.dispose()
        courier(engine, at_once_each=1)
        # A start while it is still being stopped would be stopped too.
        assert stopped.wait(LIMIT)
        time.sleep(1)
        postgres.start()
        assert len({came.id for came in receiver.wait_for(3)}) == 3
        wait_until(has_status(engine, "delivered"))
        assert len(receiver.came) == 3, "the attempt that could not be logged was, later"
    engine.dispose()


def test_a_thousand_hanging_receivers_delay_no_healthy_one(
    engine: Engine, courier: Callable[..., Courier], announce: Callable[..., list[str]]
) -> None:
    with socket.socket() as hanging, receiving() as live:
        # Accepted by the kernel, answered by nobody, under a thousand addresses.
        hanging.bind(("0.0.0.0", 0))  # noqa: S104  this machine's loopback has them all
        hanging.listen(4096)
        port = hanging.getsockname()[1]
        made = courier(timeout=timedelta(minutes=9), lease=timedelta(minutes=10))
        announce(live.url)
        live.wait_for(1)
        announce(*[f"http://127.0.{number // 250}.{number % 250 + 1}:{port}/" for number in range(1000)])
        for number in range(50):
            announce(live.url)
            live.wait_for(number + 2)
        with engine.connect() as connection:
            assert logged(connection) <= {204}, "all of the thousand still hang"
        made.stop()
        with engine.connect() as connection:
            now = Terms(each=1000, in_hand={}, lease=timedelta(seconds=9))
            assert len(claim_for_others(connection, [], limit=2000, terms=now)) == 1000, "they are left to the next one"


def logged(connection: Connection) -> set[int | None]:
    """Return the statuses of all attempts."""
    return set(connection.execute(select(webhook_attempts.c.status)).scalars())
