"""Output row i belongs to image i: an image's output is the same in any micro-batch as alone."""

import hashlib
import itertools
import json
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import TYPE_CHECKING, NamedTuple

import httpx
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from shared.settings import Intake, Registry
from tests.support.api_client import Door, Json
from tests.support.pictures import data_url, renewed
from tests.support.waiting import LIMIT

if TYPE_CHECKING:
    from tests.support.stack import Stack

# A float's last digits depend on what else is in the batch; outputs are rounded to a millionth.
TOLERANCE = 1e-5
DIGITS, COPIES = 60, 2


class Picture(NamedTuple):
    """One of the digits, in one of several files of the same pixels: sent again, it is a duplicate or a cache hit."""

    digit: int
    copy: int


Order = list[Picture]
"""What one client sends, in this order."""
pictures = st.builds(Picture, st.integers(0, DIGITS - 1), st.integers(0, COPIES - 1))
orders = st.lists(st.lists(pictures, min_size=1, max_size=9), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def alone(door: Door, stack: "Stack") -> Callable[[bytes], Json]:
    """What the registry's champion, loaded into this process, predicts for one image alone."""
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        for name, value in stack.registry_environment.items():
            patch.setenv(name, value)
        # MLflow and torch warn of themselves while they are imported.
        warnings.simplefilter("ignore")
        from worker.decode.preprocessing import decode  # noqa: PLC0415  two seconds that only this module spends
        from worker.models.loading import load  # noqa: PLC0415

        model = load(
            "models:/digits@champion",
            registry=Registry(url=door.registry_url),
            device="cpu",
            threads=1,
            max_pixels=1_000_000,
        )

    def predict(image: bytes) -> Json:
        found: Json = json.loads(
            model.predict([decode(image, model.spec, max_pixels=Intake().max_image_pixels)])[0],
        )
        return found

    return predict


class Shelf:
    """The files to send, and the expected output of each."""

    def __init__(self, scans: Sequence[bytes], alone: Callable[[bytes], Json]) -> None:
        self._files = {Picture(d, c): renewed(scan) for d, scan in enumerate(scans) for c in range(COPIES)}
        self.expected = {picture: alone(file) for picture, file in self._files.items()}
        self.digest = {picture: hashlib.sha256(file).hexdigest() for picture, file in self._files.items()}
        self.answered: set[Picture] = set()

    def send(self, http: httpx.Client, picture: Picture, *, form: int) -> str:
        """Submit a picture in one of three bodies and return the prediction's id."""
        file = self._files[picture]
        bodies: list[Json] = [
            {"content": file, "headers": {"Content-Type": "image/png"}},
            {"files": {"image": ("digit.png", file)}},
            {"json": {"model": "digits", "input": {"image": data_url(file)}}},
        ]
        answer = http.post("/v1/predictions", **bodies[form % 3])
        assert answer.status_code in (200, 202), answer.text
        return str(answer.json()["id"])


@pytest.fixture(scope="module")
def shelf(stack: "Stack", alone: Callable[[bytes], Json]) -> Shelf:
    scans = [path.read_bytes() for path in stack.images[:: len(stack.images) // DIGITS][:DIGITS]]
    return Shelf(scans, alone)


def submit_all(url: str, shelf: Shelf, order: Order) -> list[str]:
    with httpx.Client(base_url=url, timeout=LIMIT, trust_env=False) as http:
        return [shelf.send(http, picture, form=place) for place, picture in enumerate(order)]


def wait_for_all(url: str, ids: list[str]) -> list[Json]:
    with httpx.Client(base_url=url, timeout=LIMIT, trust_env=False) as http:
        return [http.get(f"/v1/predictions/{id}", headers={"Prefer": "wait=60"}).json() for id in ids]


def apart(one: Json, other: Json) -> float:
    """Return the largest difference between two outputs' probabilities."""
    first, second = one["probabilities"], other["probabilities"]
    assert first.keys() == second.keys()
    return float(max(abs(first[label] - second[label]) for label in first))


def expect_output(found: Json, expected: Json) -> None:
    """Compare an output with that of the image alone; classes that tie within TOLERANCE may swap places."""
    assert apart(found, expected) <= TOLERANCE
    assert abs(found["confidence"] - expected["confidence"]) <= TOLERANCE
    assert expected["probabilities"][found["predicted_class"]] >= expected["confidence"] - 2 * TOLERANCE
    assert found["confidence"] == found["probabilities"][found["predicted_class"]]


def test_the_digits_have_different_outputs(shelf: Shelf) -> None:
    different = [shelf.expected[Picture(digit, 0)] for digit in range(DIGITS)]
    nearest = min(apart(one, other) for one, other in itertools.combinations(different, 2))
    assert nearest > 5 * TOLERANCE  # or a mixed-up answer would pass for the right one


def every_second(first: int, count: int) -> Order:
    return [Picture((first + 7 * place) % DIGITS, place % COPIES) for place in range(count)]


@settings(max_examples=12, derandomize=True, database=None, phases=(Phase.explicit, Phase.generate))
@given(orders=orders, gathered=st.booleans())
@example(orders=[every_second(0, 9), every_second(1, 9), every_second(2, 5)], gathered=True)
@example(orders=[[Picture(3, 0)] * 9, [Picture(3, 0), Picture(4, 0), Picture(3, 1)] * 3], gathered=True)
@example(orders=[[Picture(59, 1)]], gathered=True)
def test_output_i_belongs_to_image_i(door: Door, shelf: Shelf, *, orders: list[Order], gathered: bool) -> None:
    """`gathered`: everything waits until the workers go on, so that it is one batch of just these images."""
    sent = [picture for order in orders for picture in order]
    new = set(sent) - shelf.answered
    with ThreadPoolExecutor(len(orders)) as clients:
        with door.workers_stopped() if gathered else nullcontext():
            ids = list(clients.map(lambda order: submit_all(door.url, shelf, order), orders))
        found = list(clients.map(lambda mine: wait_for_all(door.url, mine), ids))
    made = [prediction for answers in found for prediction in answers]
    shelf.answered |= new

    assert len({prediction["id"] for prediction in made}) == len(sent)
    for picture, prediction in zip(sent, made, strict=True):
        assert prediction["status"] == "succeeded", prediction
        assert prediction["input"]["image"]["sha256"] == shelf.digest[picture]
        expect_output(prediction["output"], shelf.expected[picture])
    sources = Counter(prediction["source"] for prediction in made)
    assert sources["model"] == len(new)
    if gathered:
        assert sources["cache"] == sum(picture not in new for picture in sent)
        assert {p["metrics"]["batch_size"] for p in made if p["source"] != "cache"} <= {len(new)}
