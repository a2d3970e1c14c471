"""Delivers what is due: one thread with an event loop, so that a thousand slow receivers cost a thousand sockets.

Killed at any line: what was claimed is due again when its lease ends, and goes out with the same `webhook-id`.
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
from shared.presentation.stream_tokens import StreamTokens
from shared.settings import Webhooks
from shared.storage import delivery_claims, webhook_secrets
from shared.storage.delivery_claims import Attempt, Claimed, Receiver, Terms
from worker.process.background_threads import vital_thread
from worker.webhooks.circuit_breakers import CircuitBreakers
from worker.webhooks.delivery_slots import DeliverySlots
from worker.webhooks.messages import WebhookMessage, bodies
from worker.webhooks.sender import Answer, Sender

log = logging.getLogger(__name__)

GONE: Final = 410
TOO_MANY: Final = 429
LOOK: Final = timedelta(seconds=1)
AT_ONE_COMMIT: Final = 500
SHARE_ON_TRIAL: Final = 0.75
"""Of all attempts at a time: the most that go to receivers that do not answer most of the time."""
AHEAD: Final = 4
"""Times `at_once_each`: so many deliveries to who answers are in hand, most of them waiting for their turn.

One commit then serves more of them; one round of 16 a look made 730 a second, four rounds 1,300.
"""
ON_TRIAL_AT_A_LOOK: Final = 100
"""So many attempts at others begin at a time; more would hold up, by a second, who answers."""
# Attempts that end within it are logged, and what follows them is claimed, together.
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
    ) -> None:
        """`sender` is called in the event loop; `collect` before each look, in a thread: it may add deliveries.

        `sign` is called likewise, first of all: it tells others that somebody looks.
        """
        self._engine = engine
        self._settings = settings
        self._tokens = tokens
        self._make_sender = sender
        self._collect = collect
        self._sign = sign
        self._metrics = metrics
        self._breakers = CircuitBreakers(settings)
        self._in_hand: Counter[Receiver] = Counter()
        self._turns: dict[Receiver, asyncio.Semaphore] = {}
        self._given_up: list[DeliveryId] = []
        self._ended: list[Attempt] = []
        self._thread = vital_thread(lambda: asyncio.run(self._run()), name="courier")
        self._ready = threading.Event()
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop
        self._stir: asyncio.Event
        self._sender: Sender

    def start(self) -> None:
        """Begin to look and deliver."""
        self._thread.start()
        self._ready.wait()

    def wake(self) -> None:
        """Look now; from any thread."""
        # It may have stopped meanwhile.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stir.set)

    def stop(self) -> None:
        """Stop; attempts under way get some seconds to end."""
        self._stopping = True
        self.wake()
        self._thread.join(timeout=self._settings.lease.total_seconds())

    async def _run(self) -> None:
        self._loop, self._stir = asyncio.get_running_loop(), asyncio.Event()
        self._sender = self._make_sender()
        self._ready.set()
        under_way: set[asyncio.Task[None]] = set()
        try:
            while not self._stopping:
                letters = await self._look(len(under_way))
                for letter in letters:
                    self._in_hand[letter.delivery.receiver] += 1
                    task = asyncio.create_task(self._deliver(letter), name=letter.delivery.id)
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
                if len(letters) >= ON_TRIAL_AT_A_LOOK:
                    self._stir.set()  # there may be more
                await self._pause()
            await self._finish(under_way)
        finally:
            await self._sender.aclose()

    async def _finish(self, under_way: set[asyncio.Task[None]]) -> None:
        """Let attempts end that soon do; break off the others and leave their deliveries to the next worker."""
        late: set[asyncio.Task[None]] = set()
        if under_way:
            _, late = await asyncio.wait(under_way, timeout=GRACE.total_seconds())
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        self._given_up += [DeliveryId(task.get_name()) for task in late]
        with contextlib.suppress(SQLAlchemyError):  # then their leases end
            await asyncio.to_thread(self._log)

    async def _pause(self) -> None:
        """Return when an attempt has ended, somebody wakes us, or it is time to look."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK.total_seconds()):
                await self._stir.wait()
            await asyncio.sleep(GATHER.total_seconds())
        self._stir.clear()

    async def _look(self, under_way: int) -> list[WebhookMessage]:
        """Log what has ended, and return what to deliver now."""
        try:
            return await asyncio.to_thread(self._log_and_claim, self._share_out(under_way))
        except Exception as error:  # noqa: BLE001  one look that fails must not be the last
            log.warning("webhooks_wait", extra={"error": repr(error)})
            await asyncio.sleep(PAUSE_WHEN_FAILING.total_seconds())
            return []

    def _share_out(self, under_way: int) -> DeliverySlots:
        """Say who may get how much, by what is known now."""
        each, answering = self._settings.at_once_each, self._breakers.answering()
        lease = self._settings.lease
        # Who is tried again after a rest has less room than others; none of them is answering.
        let_through = self._breakers.let_through()
        tried = {one: each - share + self._in_hand[one] for one, share in let_through.items()}
        in_hand = self._in_hand | Counter(tried)
        on_trial = under_way - sum(self._in_hand[one] for one in answering)
        return DeliverySlots(
            room=self._settings.at_once - under_way,
            answering=answering,
            resting=self._breakers.resting(),
            room_on_trial=min(int(self._settings.at_once * SHARE_ON_TRIAL) - on_trial, ON_TRIAL_AT_A_LOOK),
            terms=Terms(each=each * AHEAD, in_hand=in_hand, lease=lease),
            terms_on_trial=Terms(each=each, in_hand=in_hand, lease=lease),
        )

    def _log_and_claim(self, shares: DeliverySlots) -> list[WebhookMessage]:
        if self._sign is not None:
            self._sign()
        self._log()
        self._collect()
        with self._engine.connect() as connection:
            claimed = shares.claim(connection)
            with connection.begin():
                said = bodies(connection, claimed, tokens=self._tokens)
            secrets = {
                owner: webhook_secrets.signing_secrets(connection, owner, overlap=self._settings.secret_overlap)
                for owner in {one.owner for one in claimed}
            }
        self._ended += [_undeliverable(one) for one in claimed if one.id not in said]
        return [WebhookMessage(one, said[one.id], secrets[one.owner]) for one in claimed if one.id in said]

    def _log(self) -> None:
        """Commit the attempts that ended and were given up. Raises what SQLAlchemy does; then the next time does."""
        while part := self._ended[:AT_ONE_COMMIT]:
            with self._engine.connect() as connection:
                delivery_claims.log_attempts(connection, part)
            del self._ended[: len(part)]
        if ids := self._given_up[:]:
            with self._engine.connect() as connection:
                delivery_claims.give_back(connection, ids)
            del self._given_up[: len(ids)]

    async def _deliver(self, letter: WebhookMessage) -> None:
        """Make one attempt, and note what follows."""
        receiver = letter.delivery.receiver
        turns = self._turns.setdefault(receiver, asyncio.Semaphore(self._settings.at_once_each))
        try:
            async with turns:
                if self._breakers.rests(receiver):
                    self._given_up.append(letter.delivery.id)
                else:
                    self._ended.append(await self._attempt(letter))
        finally:
            self._in_hand -= Counter([receiver])
            if not self._in_hand[receiver]:
                del self._turns[receiver]
            self._stir.set()

    async def _attempt(self, letter: WebhookMessage) -> Attempt:
        delivery, started = letter.delivery, datetime.now(UTC)
        answer = await self._sender.send(delivery.url, body=letter.body, headers=letter.headers(started))
        self._note(delivery.receiver, answer)
        outcome, pause = _what_follows(delivery, answer, pauses=self._settings.pauses)
        self._metrics.attempts.labels(outcome).inc()
        self._metrics.seconds.observe(answer.milliseconds / 1000)
        # The path and query of a URL are its owner's secret; where it leads to is no more than a name.
        whose = {"delivery": delivery.id, f"{delivery.kind}_id": delivery.subject, "destination": delivery.destination}
        facts = whose | {"status": answer.status, "outcome": outcome, "error": answer.error, "reason": answer.reason}
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

    def _note(self, receiver: Receiver, answer: Answer) -> None:
        """Tell the breakers. Who says 410 is done with one URL, and says nothing about the others there."""
        if answer.error is None:
            self._breakers.succeeded(receiver)
        elif answer.status != GONE:
            took = timedelta(milliseconds=answer.milliseconds)
            asked = answer.retry_after if answer.status == TOO_MANY else None
            self._breakers.failed(receiver, took=took, retry_after=asked)


def _what_follows(
    delivery: Claimed, answer: Answer, *, pauses: Sequence[timedelta]
) -> tuple[DeliveryStatus, timedelta]:
    """Return where the delivery is now, and how long until its next attempt where there is one."""
    if answer.error is None:
        return DeliveryStatus.DELIVERED, timedelta(0)
    chance = random.random()  # noqa: S311  no secret
    pause = pause_after(delivery.attempts + 1, pauses=pauses, chance=chance, retry_after=answer.retry_after)
    if answer.status == GONE or pause is None:
        return DeliveryStatus.EXHAUSTED, timedelta(0)
    return DeliveryStatus.PENDING, pause


def _undeliverable(delivery: Claimed) -> Attempt:
    """Return the end of a delivery about something that is no longer recorded."""
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
