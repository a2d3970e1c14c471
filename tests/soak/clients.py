"""Clients under faults: each submission is repeated under its idempotency key until it is answered."""

import base64
import io
import itertools
import json
import random
import socket
import struct
import threading
import time
import uuid
import zipfile
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import httpx

from tests.soak.ledger import ENDS, Ledger, Submission, Upload
from tests.soak.pictures import broken_file, picture

PATIENCE_SECONDS = 150.0
"""How long a client repeats one request before that counts as never answered."""
_BUSY = frozenset({409, 429, 503})
_REPEATED = 0.1
_PIPED = 0.2
"""Share of the submissions and uploads that ask for a pipeline: an ensemble, or a chain that always goes on."""
_MODEL = {"model": "numbers"}
_THEN = {"when": {"min_confidence": 0.5}}
_PIPELINES = (
    {"models": "numbers:1,numbers:2"},
    {"model": "numbers:1", "then": json.dumps({"model": "numbers:2", **_THEN})},
    *({"models": "numbers:1,numbers:3", "on_error": one} for one in ("fail", "degrade")),
    *(
        {"model": "numbers:1", "then": json.dumps({"model": "numbers:3", **_THEN}), "on_error": one}
        for one in ("fail", "degrade")
    ),
)
_BROKEN = 0.06
_LARGEST_UPLOAD = 150
_MOST_LABELS = 60
_LABELLED_AGAIN = 0.3
"""Share of the labels that are given to predictions which have one, and of requests after which one is repeated."""


class Clients:
    """All clients, in threads; at the end of the block each finishes its request."""

    def __init__(self, url: str, ledger: Ledger, *, seed: int, hook: str, submitters: int = 3) -> None:
        self._url, self._ledger, self._hook = url, ledger, hook
        self._numbers = itertools.count(random.Random(seed).randrange(2**20))
        self._given: deque[tuple[str, list[tuple[str, str]]]] = deque(maxlen=50)
        self._stopping = threading.Event()
        works: list[Callable[[random.Random], None]] = [self._submit] * submitters
        works += [self._upload, self._poll, self._label, self._break_off]
        self._threads = [
            threading.Thread(target=self._go_on, args=(work, random.Random(f"{seed} {n}")), daemon=True)
            for n, work in enumerate(works)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=PATIENCE_SECONDS + 30)
            if thread.is_alive():
                self._ledger.violated("a client never came back from a request")

    def _go_on(self, work: Callable[[random.Random], None], chance: random.Random) -> None:
        while not self._stopping.is_set():
            try:
                work(chance)
            except Exception as error:  # noqa: BLE001  a client that ends unseen would make the run seem quiet
                self._ledger.violated(f"a client stumbled: {type(error).__name__}: {error}")
                return

    def _number(self, chance: random.Random) -> int:
        """Return the next number, or now and then one of the last: from the cache, or joined to its computation."""
        number = next(self._numbers)
        return max(0, number - chance.randrange(1, 20)) if chance.random() < _REPEATED else number

    def _submit(self, chance: random.Random) -> None:
        """Submit one picture in any of the ways there are."""
        number = None if chance.random() < _BROKEN else self._number(chance)
        image = broken_file(chance) if number is None else picture(number)
        cancels, hurries = chance.random() < 0.04, chance.random() < 0.04
        told = chance.random() < 0.15
        asked = _asked(chance)
        one = Submission(
            mark=_mark(chance),
            number=number,
            may_be_canceled=cancels or hurries,
            webhook=told,
            on_error=asked.get("on_error", ""),
        )
        fields: dict[str, Any] = {**asked, "metadata": json.dumps({"mark": one.mark})}
        fields |= {"webhook": self._hook, "webhook_events_filter": "completed"} if told else {}
        headers = {"Idempotency-Key": one.mark}
        headers |= {"Cancel-After": "1s"} if hurries else {}
        headers |= {"Prefer": f"wait={chance.randrange(1, 4)}"} if chance.random() < 0.25 else {}
        sending = _in_a_body(chance.randrange(3), image, fields)
        self._ledger.asked(one)
        body = self._until_answered("/v1/predictions", one.mark, headers=headers, sending=sending)
        if body is None:
            one.refused = True
            if number is not None:
                self._ledger.violated(f"a good picture was refused: {one.mark}")
        elif body:
            self._ledger.accepted(one, body)
            if cancels:
                self._cancel(str(body["id"]))
        time.sleep(0.01)

    def _cancel(self, id: str) -> None:
        asked = time.monotonic()
        with connect(self._url) as client:
            try:
                answer = client.post(f"/v1/predictions/{id}/cancel")
            except httpx.TransportError:
                return
        if answer.status_code == 200:
            self._ledger.saw(answer.json(), asked=asked)
        elif answer.status_code != 503:
            self._ledger.violated(f"canceling {id}: {answer.status_code} {answer.text[:200]}")

    def _upload(self, chance: random.Random) -> None:
        """Upload many pictures in any of the three forms."""
        names = [f"{n:04}.png" for n in range(chance.randrange(1, _LARGEST_UPLOAD))]
        numbers = {name: None if chance.random() < _BROKEN else self._number(chance) for name in names}
        files = {name: broken_file(chance) if n is None else picture(n) for name, n in numbers.items()}
        told = chance.random() < 0.5
        asked = _asked(chance)
        upload = Upload(mark=_mark(chance), numbers=numbers, webhook=told, on_error=asked.get("on_error", ""))
        fields = {**asked, "metadata": json.dumps({"mark": upload.mark})}
        fields |= {"webhook": self._hook} if told else {}
        sending = _as_upload(chance.randrange(3), files, fields)
        self._ledger.asked_many(upload)
        headers = {"Idempotency-Key": upload.mark}
        body = self._until_answered("/v1/batches", upload.mark, headers=headers, sending=sending)
        if body is None:
            self._ledger.violated(f"a good upload was refused: {upload.mark}")
        elif body:
            self._ledger.accepted_many(upload, str(body["id"]))
        self._stopping.wait(chance.uniform(0.2, 1.5))

    def _until_answered(
        self, path: str, mark: str, *, headers: dict[str, str], sending: dict[str, Any]
    ) -> dict[str, Any] | None:
        """Return the answer's body, None where the request was refused for good, {} where nobody ever answered."""
        sending = {**sending, "headers": {**sending.get("headers", {}), **headers}}
        end = time.monotonic() + PATIENCE_SECONDS
        with connect(self._url) as client:
            while time.monotonic() < end:
                try:
                    answer = client.post(path, **sending)
                except httpx.TransportError as error:
                    self._ledger.counted(type(error).__name__)
                    time.sleep(0.2)
                    continue
                self._ledger.counted(str(answer.status_code))
                if answer.status_code in (200, 201, 202):
                    body: dict[str, Any] = answer.json()
                    return body
                if answer.status_code in (413, 415, 422) and "idempotency" not in answer.text:
                    return None
                said = f"{path} answered {answer.status_code}"
                if answer.status_code not in _BUSY:
                    self._ledger.violated(f"{said}: {answer.text[:300]}")
                elif answer.status_code != 409 and "retry-after" not in answer.headers:
                    self._ledger.violated(f"{said} without Retry-After: {answer.text[:200]}")
                time.sleep(0.2)
        self._ledger.violated(f"{path} never answered {mark}")
        return {}

    def _poll(self, chance: random.Random) -> None:
        """Ask how the last predictions are."""
        with connect(self._url) as client:
            while not self._stopping.wait(0.02):
                if known := self._ledger.known_ids():
                    poll_once(client, chance.choice(known[-500:]), self._ledger)

    def _label(self, chance: random.Random) -> None:
        """Label one prediction, or many by CSV; some have a label already. Then repeat an earlier request."""
        mark, again = _mark(chance), chance.random() < _LABELLED_AGAIN
        ids = self._ledger.choose_to_label(chance.choice((1, _MOST_LABELS)), labelled=again)
        if ids:
            # A file names some of them twice: its last line counts.
            named = ids if len(ids) == 1 else ids + chance.sample(ids, len(ids) // 4)
            labels = [(id, f"{mark}-{place}") for place, id in enumerate(named)]
            if self._give(mark, labels):
                self._ledger.labelled(labels)
                self._given.append((mark, labels))
        if self._given and chance.random() < _LABELLED_AGAIN:
            self._give(*chance.choice(self._given))  # under its key: what was said since goes on counting
        self._stopping.wait(chance.uniform(0.1, 1.0))

    def _give(self, mark: str, labels: list[tuple[str, str]]) -> bool:
        """Give labels to predictions in this order; return whether all were taken."""
        if len(labels) == 1:
            [(id, label)] = labels
            path, sending = f"/v1/predictions/{id}/feedback", {"json": {"label": label}}
        else:
            content = "".join(["id,label\n", *(f"{id},{label}\n" for id, label in labels)])
            path, sending = "/v1/feedback", {"content": content, "headers": {"Content-Type": "text/csv"}}
        body = self._until_answered(path, mark, headers={"Idempotency-Key": mark}, sending=sending)
        if body is None or body.get("refused"):
            self._ledger.violated(f"labels were refused: {body and body['errors'][:3]}")
            return False
        return bool(body)

    def _break_off(self, chance: random.Random) -> None:
        """Send half of a request and leave: with a TCP reset, or silently."""
        mark = _mark(chance)
        self._ledger.cut_off(mark)
        image = picture(self._number(chance))
        query = f"model=numbers&metadata=%7B%22mark%22%3A%22{mark}%22%7D"
        head = (
            f"POST /v1/predictions?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\n"
            f"Idempotency-Key: {mark}\r\nContent-Length: {len(image)}\r\n\r\n"
        ).encode()
        whole = head + image
        part = whole[: chance.randrange(1, len(whole) - 1)]
        host, _, port = self._url.removeprefix("http://").partition(":")
        try:
            with socket.create_connection((host, int(port)), timeout=5) as link:
                link.sendall(part)
                if chance.random() < 0.5:
                    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                else:
                    self._stopping.wait(chance.uniform(0.0, 2.0))
        except OSError:
            pass
        self._stopping.wait(0.3)


def poll_once(client: httpx.Client, id: str, ledger: Ledger) -> str | None:
    """Poll one prediction; return how it ended, None where it has not or nobody can say."""
    asked = time.monotonic()
    try:
        answer = client.get(f"/v1/predictions/{id}")
    except httpx.TransportError:
        return None
    if answer.status_code == 200:
        body = answer.json()
        ledger.saw(body, asked=asked)
        return body["status"] if body["status"] in ENDS else None
    if answer.status_code != 503:
        ledger.violated(f"polling {id}: {answer.status_code} {answer.text[:200]}")
    return None


def connect(url: str) -> httpx.Client:
    """Return a client of a gateway."""
    return httpx.Client(base_url=url, timeout=30, trust_env=False)


def _asked(chance: random.Random) -> dict[str, str]:
    """Return the fields that name the model or the pipeline. One with `on_error` has a member that may fail."""
    return chance.choice(_PIPELINES) if chance.random() < _PIPED else _MODEL


def _mark(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128)))


def _in_a_body(kind: int, image: bytes, fields: dict[str, Any]) -> dict[str, Any]:
    """Return a submission as httpx sends it: the image itself, a form, or JSON."""
    if kind == 0:
        return {"content": image, "params": fields, "headers": {"Content-Type": "application/octet-stream"}}
    if kind == 1:
        return {"data": fields, "files": {"image": ("one.png", image, "image/png")}}
    url = "data:image/png;base64," + base64.b64encode(image).decode()
    rest = fields | {"metadata": json.loads(fields["metadata"])}
    if "webhook_events_filter" in rest:
        rest["webhook_events_filter"] = [rest["webhook_events_filter"]]
    return {"json": {"input": {"image": url}} | rest}


def _as_upload(kind: int, files: dict[str, bytes], fields: dict[str, str]) -> dict[str, Any]:
    """Return an upload as httpx sends it: a zip, NDJSON, or a form of images."""
    if kind == 0:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
            for name, content in files.items():
                made.writestr(name, content)
        return {"data": fields, "files": {"archive": ("many.zip", archive.getvalue(), "application/zip")}}
    if kind == 1:
        lines = (
            json.dumps({"custom_id": name, "image": base64.b64encode(content).decode()})
            for name, content in files.items()
        )
        content = "".join(line + "\n" for line in lines).encode()
        return {"content": content, "params": fields, "headers": {"Content-Type": "application/x-ndjson"}}
    return {"data": fields, "files": [("images", (name, content, "image/png")) for name, content in files.items()]}
