"""What a worker takes of its queue, how a thread that gets free is noticed, and when task events are sent."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery
from celery.concurrency.thread import TaskPool
from celery.worker import state
from kombu import Connection
from kombu.asynchronous import get_event_loop, set_event_loop

from tests.support.servers import RedisServer
from tests.support.waiting import LIMIT, until
from worker.process import broker_transport
from worker.process.broker_transport import BellChannel, waits_for_a_thread
from worker.process.task_events import PAUSE, GatheringDispatcher, GatheringEvents
from worker.process.thread_pool import WakingTaskPool


class RecordedHub:
    """Celery's main loop, of which only what it is asked for is kept."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def call_soon(self, call: Callable[..., object], *arguments: Any) -> None:
        """Note a call that the loop should make."""
        self.asked.append((call, *arguments))

    def call_later(self, seconds: float, call: Callable[..., object]) -> None:
        """Note a call that the loop should make later."""
        self.asked.append((seconds, call))


class Request:
    """Stands for a task that Celery has reserved."""


@pytest.fixture
def hub() -> Iterator[RecordedHub]:
    before, recorded = get_event_loop(), RecordedHub()
    set_event_loop(recorded)
    yield recorded
    set_event_loop(before)


@pytest.fixture(autouse=True)
def _nothing_in_hand() -> Iterator[None]:
    waits_for_a_thread.clear()
    yield
    waits_for_a_thread.clear()


@pytest.fixture
def channel(redis_server: RedisServer) -> Iterator[BellChannel]:
    broker_transport.install()
    with Connection(f"redis+socket://{redis_server.url.removeprefix('unix://')}") as connection:
        connection.transport_cls = f"{broker_transport.__name__}:BellTransport"
        yield connection.channel()


def test_no_more_bells_are_taken_than_threads_may_have(channel: BellChannel) -> None:
    channel.basic_qos(prefetch_count=2)
    requests = [Request(), Request()]
    try:
        state.reserved_requests.add(requests[0])
        assert channel.qos.can_consume()
        assert not waits_for_a_thread.is_set()
        state.reserved_requests.add(requests[1])
        assert not channel.qos.can_consume()
        assert waits_for_a_thread.is_set()
        state.reserved_requests.discard(requests[0])
        assert channel.qos.can_consume()
    finally:
        state.reserved_requests.clear()


def test_a_channel_without_a_limit_takes_everything(channel: BellChannel) -> None:
    state.reserved_requests.add(Request())
    try:
        assert channel.qos.can_consume()
    finally:
        state.reserved_requests.clear()


@pytest.mark.parametrize("answer", ["ack", "reject", "requeue"])
def test_an_answer_that_comes_after_its_channel_was_closed_does_nothing(channel: BellChannel, answer: str) -> None:
    properties = {"delivery_tag": "1", "delivery_info": {"consumer_tag": "1"}}
    message = channel.Message({"body": "", "properties": properties}, channel=channel)
    channel.close()
    getattr(message, answer)()


def test_a_thread_that_gets_free_wakes_the_loop_only_where_it_waits_for_one(hub: RecordedHub) -> None:
    pool, done = WakingTaskPool(2, app=Celery(set_as_current=False)), threading.Event()
    ended: list[object] = []
    try:
        pool.on_apply(done.set, (), {}, callback=ended.append).wait(timeout=LIMIT)
        assert done.is_set()
        assert hub.asked == []
        waits_for_a_thread.set()
        pool.on_apply(done.set, (), {}, callback=ended.append).wait(timeout=LIMIT)
        until(lambda: len(hub.asked) == 1, what="the loop is woken")
        assert not waits_for_a_thread.is_set()
    finally:
        pool.on_stop()


def test_task_events_are_sent_together(hub: RecordedHub) -> None:
    sent: list[str] = []
    with Celery(broker="memory://", set_as_current=False, events=GatheringEvents) as app:
        dispatcher = app.events.Dispatcher(
            app.connection_for_write(), hostname="w", buffer_group=["task"], on_send_buffered=lambda: sent.append("all")
        )
        assert isinstance(dispatcher, GatheringDispatcher)
        for kind in ("task-received", "task-started", "task-succeeded"):
            dispatcher.send(kind, uuid="1")
        [(later, seconds, send)] = hub.asked
        assert (later, seconds, sent) == (hub.call_later, PAUSE.total_seconds(), [])
        send()
        assert sent == ["all"]
        dispatcher.send("task-received", uuid="2")
        assert len(hub.asked) == 2


def test_a_worker_that_stops_sends_task_events_at_once(hub: RecordedHub, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr(state, "should_stop", 0)
    with Celery(broker="memory://", set_as_current=False, events=GatheringEvents) as app:
        dispatcher = app.events.Dispatcher(
            app.connection_for_write(), hostname="w", buffer_group=["task"], on_send_buffered=lambda: sent.append("all")
        )
        dispatcher.send("task-succeeded", uuid="1")
    assert (sent, hub.asked) == (["all"], [])


def test_celery_has_the_members_that_are_used() -> None:
    pool = TaskPool(1, app=Celery(set_as_current=False))
    assert hasattr(pool.on_apply(int, (), {}), "f")
    pool.on_stop()


def test_a_channel_that_is_closed_waits_for_no_bell(channel: BellChannel) -> None:
    """Redis would answer after an hour, longer than any test may take."""
    channel.brpop_timeout = 3600
    channel.queue_declare("q")
    channel.basic_consume("q", no_ack=True, callback=print, consumer_tag="t")
    channel.client.connection = channel.client.connection_pool.get_connection()
    channel._brpop_start()
    assert channel._in_poll
    channel.close()
    assert channel.closed


def test_a_bell_that_has_come_is_taken_as_the_channel_is_closed(channel: BellChannel) -> None:
    taken: list[Any] = []
    channel.queue_declare("q")
    channel.basic_consume("q", no_ack=True, callback=taken.append, consumer_tag="t")
    channel._put("q", {"body": "", "properties": {"delivery_info": {}, "delivery_tag": "1"}})
    channel.client.connection = channel.client.connection_pool.get_connection()
    channel._brpop_start()
    awaited: Any = channel._in_poll
    until(lambda: awaited.can_read(timeout=0), what="Redis has answered")
    channel.close()
    assert len(taken) == 1
