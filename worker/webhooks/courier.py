"""The courier delivers due webhooks: one thread with an event loop, so that a slow receiver costs only a socket.

Killed at any line: what was claimed is due again when its lease ends, and is sent with the same `webhook-id`.
"""

import asyncio
import contextlib
import logging
import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from shared.domain.identifiers import DeliveryId
from shared.domain.webhooks import DeliveryStatus, pause_after
from shared.observability.metrics import WebhookMetrics
from shared.observability.tracing.trace_context import span_id, trace_headers, trace_id
from shared.presentation.stream_tokens import StreamTokens
from shared.settings import Webhooks
from shared.storage import delivery_claims, webhook_secrets
from shared.storage.delivery_claims import Attempt, Claimed, Receiver, Terms
from worker.process.background_threads import vital_thread
from worker.webhooks.circuit_breakers import CircuitBreakers
from worker.webhooks.delivery_slots import DeliverySlots
from worker.webhooks.delivery_tracing import DeliveryTracing
from worker.webhooks.messages import WebhookMessage, message_bodies
from worker.webhooks.sender import Answer, Sender

log = logging.getLogger(__name__)

GONE: Final = 410
TOO_MANY: Final = 429
POLL: Final = timedelta(seconds=1)
AT_ONE_COMMIT: Final = 500
SHARE_OF_OTHERS: Final = 0.75
"""The most, of all attempts at a time, that go to receivers that are not healthy."""
AHEAD: Final = 4
"""Times `at_once_each`: how many deliveries to a healthy receiver are in hand, most of them waiting for a slot.

So one commit serves more of them: with one round of 16 a poll 730 a second were delivered, with four rounds 1,300.
"""
OTHERS_A_POLL: Final = 100
"""How many attempts at other receivers begin with one poll; more would delay healthy ones by a second."""
# Attempts that end within this time are committed together, and deliveries in their place claimed together.
GATHER: Final = timedelta(milliseconds=5)
GRACE: Final = timedelta(seconds=5)
PAUSE_WHEN_FAILING: Final = timedelta(seconds=1)


class Courier:
    """The deliveries of one worker. `start` and `stop` it; `wake` it when there may be something new."""

    def __init__(
        self,
        engine: Engine,
        *,
        settings: Webhooks,
        tokens: StreamTokens,
        sender: Callable[[], Sender],
        collect: Callable[[], object],
        metrics: WebhookMetrics,
        sign: Callable[[], object] | None = None,
        tracing: DeliveryTracing | None = None,
    ) -> None:
        """`sender` is called in the event loop; `collect`, which may add deliveries, before each poll in a thread.

        `sign` is called before that: it registers this worker as one that delivers.
        """
        self._engine = engine
        self._settings = settings
        self._tokens = tokens
        self._make_sender = sender
        self._collect = collect
        self._sign = sign
        self._tracing = tracing
        self._metrics = metrics
        self._breakers = CircuitBreakers(settings)
        self._in_hand: Counter[Receiver] = Counter()
        self._receiver_slots: dict[Receiver, asyncio.Semaphore] = {}
        self._given_up: list[DeliveryId] = []
        self._ended: list[Attempt] = []
        self._thread = vital_thread(lambda: asyncio.run(self._run()), name="courier")
        self._ready = threading.Event()
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop
        self._wakeup: asyncio.Event
        self._sender: Sender

    def start(self) -> None:
        """Begin to poll and deliver."""
        self._thread.start()
        self._ready.wait()

    def wake(self) -> None:
        """Poll now. May be called from any thread."""
        # The loop may have stopped meanwhile.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._wakeup.set)

    def stop(self) -> None:
        """Stop; attempts under way get some seconds to finish."""
        self._stopping = True
        self.wake()
        self._thread.join(timeout=self._settings.lease.total_seconds())

    async def _run(self) -> None:
        self._loop, self._wakeup = asyncio.get_running_loop(), asyncio.Event()
        self._sender = self._make_sender()
        self._ready.set()
        under_way: set[asyncio.Task[None]] = set()
        try:
            while not self._stopping:
                messages = await self._poll(len(under_way))
                for message in messages:
                    self._in_hand[message.delivery.receiver] += 1
                    task = asyncio.create_task(self._deliver(message), name=message.delivery.id)
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
                if len(messages) >= OTHERS_A_POLL:
                    self._wakeup.set()  # there may be more
                await self._pause()
            await self._finish(under_way)
        finally:
            await self._sender.aclose()

    async def _finish(self, under_way: set[asyncio.Task[None]]) -> None:
        """Wait some seconds for attempts to end; cancel the others and leave their deliveries to another worker."""
        late: set[asyncio.Task[None]] = set()
        if under_way:
            _, late = await asyncio.wait(under_way, timeout=GRACE.total_seconds())
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        self._given_up += [DeliveryId(task.get_name()) for task in late]
        with contextlib.suppress(SQLAlchemyError):  # then their leases run out
            await asyncio.to_thread(self._commit)

    async def _pause(self) -> None:
        """Return when an attempt has ended, `wake` was called, or it is time to poll."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL.total_seconds()):
                await self._wakeup.wait()
            await asyncio.sleep(GATHER.total_seconds())
        self._wakeup.clear()

    async def _poll(self, under_way: int) -> list[WebhookMessage]:
        """Commit what has ended; return what to deliver now."""
        try:
            return await asyncio.to_thread(self._commit_and_claim, self._slots_now(under_way))
        except Exception as error:  # noqa: BLE001  a poll that fails must not be the last
            log.warning("webhooks_wait", extra={"error": repr(error)})
            await asyncio.sleep(PAUSE_WHEN_FAILING.total_seconds())
            return []

    def _slots_now(self, under_way: int) -> DeliverySlots:
        """Return how many attempts may begin, and for whom, by what is known of the receivers now."""
        each, healthy = self._settings.at_once_each, self._breakers.healthy()
        lease = self._settings.lease
        # A half-open receiver, which is never healthy, gets less room: part of it is counted as in hand already.
        half_open = self._breakers.half_open()
        occupied = {one: each - allowed + self._in_hand[one] for one, allowed in half_open.items()}
        in_hand = self._in_hand | Counter(occupied)
        others = under_way - sum(self._in_hand[one] for one in healthy)
        return DeliverySlots(
            room=self._settings.at_once - under_way,
            healthy=healthy,
            resting=self._breakers.resting(),
            room_for_others=min(int(self._settings.at_once * SHARE_OF_OTHERS) - others, OTHERS_A_POLL),
            terms=Terms(each=each * AHEAD, in_hand=in_hand, lease=lease),
            terms_of_others=Terms(each=each, in_hand=in_hand, lease=lease),
        )

    def _commit_and_claim(self, slots: DeliverySlots) -> list[WebhookMessage]:
        if self._sign is not None:
            self._sign()
        self._commit()
        self._collect()
        with self._engine.connect() as connection:
            claimed = slots.claim(connection)
            if not claimed:
                return []
            with connection.begin():
                bodies = message_bodies(connection, claimed, tokens=self._tokens)
            secrets = {
                owner: webhook_secrets.signing_secrets(connection, owner, overlap=self._settings.secret_overlap)
                for owner in {one.owner for one in claimed}
            }
        self._ended += [_undeliverable(one) for one in claimed if one.id not in bodies]
        return [WebhookMessage(one, bodies[one.id], secrets[one.owner]) for one in claimed if one.id in bodies]

    def _commit(self) -> None:
        """Commit the attempts that ended, give back the deliveries given up; what fails is tried again next time."""
        while part := self._ended[:AT_ONE_COMMIT]:
            with self._engine.connect() as connection:
                delivery_claims.log_attempts(connection, part)
            del self._ended[: len(part)]
        if ids := self._given_up[:]:
            with self._engine.connect() as connection:
                delivery_claims.give_back(connection, ids)
            del self._given_up[: len(ids)]

    async def _deliver(self, message: WebhookMessage) -> None:
        """Make one attempt once the receiver has a free slot, and keep what came of it for the next commit."""
        receiver = message.delivery.receiver
        slots = self._receiver_slots.setdefault(receiver, asyncio.Semaphore(self._settings.at_once_each))
        try:
            async with slots:
                if self._breakers.is_resting(receiver):
                    self._given_up.append(message.delivery.id)
                else:
                    self._ended.append(await self._attempt(message))
        finally:
            self._in_hand -= Counter([receiver])
            if not self._in_hand[receiver]:
                del self._receiver_slots[receiver]
            self._wakeup.set()

    async def _attempt(self, message: WebhookMessage) -> Attempt:
        delivery, started = message.delivery, datetime.now(UTC)
        span = self._tracing.begin(delivery) if self._tracing is not None else None
        trace = (span.trace if span else "") or delivery.trace
        headers = message.headers(started) | (trace_headers(trace) if trace else {})
        answer = await self._sender.send(delivery.url, body=message.body, headers=headers)
        self._tell_breakers(delivery.receiver, answer)
        outcome, pause = _what_follows(delivery, answer, pauses=self._settings.pauses)
        self._metrics.attempts.labels(outcome).inc()
        self._metrics.seconds.observe(answer.milliseconds / 1000)
        # The path and query of a URL are its owner's secret, so only its origin is logged.
        if self._tracing is not None and span is not None:
            self._tracing.end(span, answer, outcome)
        about = {"delivery": delivery.id, f"{delivery.kind}_id": delivery.subject, "destination": delivery.destination}
        if trace:
            about |= {"trace_id": trace_id(trace), "span_id": span_id(trace)}
        facts = about | {"status": answer.status, "outcome": outcome, "error": answer.error, "reason": answer.reason}
        log.log(logging.DEBUG if answer.error is None else logging.INFO, "webhook_attempted", extra=facts)
        return Attempt(
            id=delivery.id,
            started_at=started,
            duration_ms=answer.shown_milliseconds,
            status=answer.status,
            error=answer.error,
            response=answer.response,
            outcome=outcome,
            pause=pause,
        )

    def _tell_breakers(self, receiver: Receiver, answer: Answer) -> None:
        """Record the result with the breakers; not a 410, which says nothing about the receiver's other URLs."""
        if answer.error is None:
            self._breakers.succeeded(receiver)
        elif answer.status != GONE:
            took = timedelta(milliseconds=answer.milliseconds)
            asked = answer.retry_after if answer.status == TOO_MANY else None
            self._breakers.failed(receiver, took=took, retry_after=asked)


def _what_follows(
    delivery: Claimed, answer: Answer, *, pauses: Sequence[timedelta]
) -> tuple[DeliveryStatus, timedelta]:
    """Return the delivery's new status, and how long until its next attempt if there is one."""
    if answer.error is None:
        return DeliveryStatus.DELIVERED, timedelta(0)
    chance = random.random()  # noqa: S311  not a secret
    pause = pause_after(delivery.attempts + 1, pauses=pauses, chance=chance, retry_after=answer.retry_after)
    if answer.status == GONE or pause is None:
        return DeliveryStatus.EXHAUSTED, timedelta(0)
    return DeliveryStatus.PENDING, pause


def _undeliverable(delivery: Claimed) -> Attempt:
    """Return the result of a delivery whose prediction or batch no longer exists: it is exhausted."""
    return Attempt(
        id=delivery.id,
        started_at=datetime.now(UTC),
        duration_ms=0.0,
        status=None,
        error=f"the {delivery.kind} is gone",
        response="",
        outcome=DeliveryStatus.EXHAUSTED,
        pause=timedelta(0),
    )
