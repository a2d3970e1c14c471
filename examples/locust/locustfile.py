"""Locust: users who send pictures of digits and wait for the results. See examples/README.md for the command.

Each picture differs in one pixel from all before it, so that none is answered from the cache.
"""

import io
import os
from itertools import count

import numpy as np
from locust import HttpUser, between, task
from PIL import Image

MODEL = os.environ.get("LOCUST_MODEL", "digits")
KEY = os.environ.get("DARKROOM_API_KEY")
_numbers = count(int.from_bytes(os.urandom(4), "big"))


def picture() -> bytes:
    """Return a grey PNG of 32x32 whose first pixels are a number that was not used before."""
    pixels = np.full((32, 32), 200, np.uint8)
    pixels[0, :8] = np.frombuffer(next(_numbers).to_bytes(8, "big"), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


class Sender(HttpUser):
    """One that sends a picture, waits for its result, and goes on after a while."""

    wait_time = between(0.1, 0.5)

    @task(9)
    def wait_for_the_result(self) -> None:
        """Have the answer in the submission's own response."""
        self.send({"Prefer": "wait=30"})

    @task(1)
    def submit_and_poll(self) -> None:
        """Take the id, then wait at the prediction's own address."""
        answer = self.send({})
        if answer is not None:
            id = answer["id"]
            self.client.get(
                f"/v1/predictions/{id}", headers=self.headers({"Prefer": "wait=30"}), name="/v1/predictions/ID"
            )

    def send(self, headers: dict[str, str]) -> dict[str, object] | None:
        """Submit a picture; return the prediction, None where it was refused, which Locust counts as a failure."""
        files = {"image": ("picture.png", picture(), "image/png")}
        sent = self.headers(headers)
        with self.client.post(
            "/v1/predictions", data={"model": MODEL}, files=files, headers=sent, catch_response=True
        ) as answer:
            if not answer.ok:
                answer.failure(f"{answer.status_code}: {answer.text[:200]}")
                return None
            prediction: dict[str, object] = answer.json()
            if prediction["status"] in ("failed", "canceled"):
                answer.failure(f"{prediction['status']}: {prediction['error']}")
            return prediction

    def headers(self, others: dict[str, str]) -> dict[str, str]:
        """Return the headers of a request, with the key where there is one."""
        return others if KEY is None else others | {"Authorization": f"Bearer {KEY}"}
