"""Clients that send load while a test breaks something, and the comparison of their answers with the rows."""

import itertools
import random
import threading
import time
import uuid
from collections.abc import Collection
from types import TracebackType
from typing import Self

import httpx

from tests.support.breakable_stack import ENDED, Breakable, picture
from tests.support.faulty_model import CLASSES
from tests.support.waiting import LIMIT, until


class Load:
    """Clients that submit, repeat, wait, cancel and poll until the block ends; the answers are recorded.

    A submission without an answer is sent again under its idempotency key until it has one, so each is one job.
    """

    def __init__(self, url: str, *, first: int, clients: int = 3) -> None:
        self.accepted: dict[str, int] = {}
        """The number on each id's picture."""
        self.at: dict[str, float] = {}
        """When each id was answered, seconds since 1970."""
        self.cancel_asked: set[str] = set()
        self.seen: dict[str, str] = {}
        """The first end of each that a poll saw."""
        self.changed: set[str] = set()
        """Ids that had ended and then were anything else."""
        self.missing: set[str] = set()
        """Ids that a poll did not find."""
        self.lost_while_waiting: set[str] = set()
        """Ids that a submission which waits for its end was told to be no more; it was sent again."""
        self.broken = 0
        """Requests without an answer."""
        self.odd: list[str] = []
        """Answers that the contract does not allow."""
        self._url = url
        self._numbers = itertools.count(first)
        self._stopping = threading.Event()
        self._noting = threading.Lock()
        self._ended_by: dict[str, float] = {}
        self._threads = [threading.Thread(target=self._submit_forever, args=(n,), daemon=True) for n in range(clients)]
        self._threads.append(threading.Thread(target=self._poll_forever, daemon=True))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=LIMIT)

    def wait_for_more(self, count: int, *, seconds: float = LIMIT) -> None:
        """Return when `count` more were accepted."""
        wanted = len(self.accepted) + count
        until(lambda: len(self.accepted) >= wanted, seconds=seconds, what=f"{count} more are accepted")

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=self._url, timeout=LIMIT, trust_env=False)

    def _submit_forever(self, seed: int) -> None:
        chance = random.Random(seed)
        with self._client() as client:
            while not self._stopping.is_set():
                number = next(self._numbers)
                if chance.random() < 0.1:
                    number -= 7  # a repeated image: from the cache, or joined to its computation
                id = self._submit(client, number, wait=chance.random() < 0.2)
                if id and chance.random() < 0.05:
                    self._cancel(client, id)
                time.sleep(0.008)

    def _submit(self, client: httpx.Client, number: int, *, wait: bool) -> str | None:
        headers = {"Content-Type": "image/png", "Idempotency-Key": uuid.uuid4().hex}
        headers |= {"Prefer": "wait=2"} if wait else {}
        for _ in range(300):
            asked = time.monotonic()
            try:
                answer = client.post("/v1/predictions", content=picture(number), headers=headers)
            except httpx.TransportError:
                self.broken += 1
                time.sleep(0.1)
                continue
            if answer.status_code in (200, 202):
                body = answer.json()
                self.accepted[body["id"]] = number
                self.at[body["id"]] = time.time()
                self._note(body["id"], body["status"], asked=asked)
                return str(body["id"])
            if answer.status_code == 404 and wait and "id" in answer.json():
                self.lost_while_waiting.add(answer.json()["id"])
            elif answer.status_code != 503:
                self.odd.append(answer.text)
                return None
            time.sleep(0.1)
        self.odd.append("a submission never had an answer")
        return None

    def _cancel(self, client: httpx.Client, id: str) -> None:
        self.cancel_asked.add(id)
        try:
            asked = time.monotonic()
            answer = client.post(f"/v1/predictions/{id}/cancel")
        except httpx.TransportError:
            return
        if answer.status_code == 200:
            self._note(id, answer.json()["status"], asked=asked)
        elif answer.status_code not in (404, 503):
            self.odd.append(answer.text)

    def _poll_forever(self) -> None:
        chance = random.Random(0)
        with self._client() as client:
            while not self._stopping.wait(0.03):
                if not self.accepted:
                    continue
                id, asked = chance.choice(list(self.accepted)[-500:]), time.monotonic()
                try:
                    answer = client.get(f"/v1/predictions/{id}")
                except httpx.TransportError:
                    continue
                if answer.status_code == 200:
                    self._note(id, answer.json()["status"], asked=asked)
                elif answer.status_code == 404:
                    self.missing.add(id)
                elif answer.status_code != 503:
                    self.odd.append(answer.text)

    def _note(self, id: str, status: str, *, asked: float) -> None:
        """Note what an answer says to a request of this time: one from before the end may come here after it."""
        with self._noting:
            before, ended_by = self.seen.get(id), self._ended_by.setdefault(id, float("inf"))
            if before is not None and status != before and (status in ENDED or asked > ended_by):
                self.changed.add(id)
            elif before is None and status in ENDED:
                self.seen[id], self._ended_by[id] = status, time.monotonic()


def reckon(system: Breakable, load: Load, *, rows_before: int) -> None:
    """Every submission that was answered has ended, as one row and no other; polls, rows and audit agree."""
    assert load.odd == []
    assert load.changed | load.missing | load.lost_while_waiting == set()
    settle(system, load.accepted)
    assert system.count_rows() == rows_before + len(load.accepted)
    agree(system, load)


def settle(system: Breakable, ids: Collection[str]) -> None:
    """Return when each of these has its row."""
    until(lambda: len(system.rows(ids)) == len(ids), what=f"{len(ids)} jobs have their row")


def agree(system: Breakable, load: Load, *, lost: Collection[str] = ()) -> None:
    """Compare rows with pictures and polls with rows; run the audit."""
    ids = load.accepted.keys() - set(lost)
    rows = system.rows(ids)
    for id in ids:
        row, number = rows[id], load.accepted[id]
        if row.status == "canceled":
            assert id in load.cancel_asked, id
        else:
            assert (row.status, row.output["predicted_index"]) == ("succeeded", number % CLASSES), (id, row)
        assert load.seen.get(id) in (None, row.status), (id, row, load.seen[id])
    system.wait_until_mended()
    for id in random.Random(0).sample(sorted(ids), min(150, len(ids))):
        found = system.prediction(id)
        assert (found["status"], found["output"]) == (rows[id].status, rows[id].output)
    system.audit()
