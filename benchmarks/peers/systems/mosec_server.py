"""Mosec: a front in Rust, a process a core that decodes and predicts, dynamic batches.

https://mosecorg.github.io/mosec/examples/pytorch.html
"""

import json
from typing import Any

from mosec import Server, Worker

from benchmarks.peers.systems.given import Given, answer


class Inference(Worker):
    """Takes the request's body as it is: documented for images, in place of JSON."""

    def __init__(self) -> None:
        """Load the model, once a process."""
        super().__init__()
        self.model = Given.from_environment().load()

    def deserialize(self, data: bytes) -> bytes:
        """Return the body."""
        return data

    def serialize(self, data: dict[str, Any]) -> bytes:
        """Return JSON without the default's indents."""
        return json.dumps(data, separators=(",", ":")).encode()

    def forward(self, data: list[bytes]) -> list[dict[str, Any]]:
        """Predict a batch."""
        return [answer(prediction) for prediction in self.model.predict(data)]


if __name__ == "__main__":
    given = Given.from_environment()
    server = Server()
    server.append_worker(
        Inference, num=given.processes, max_batch_size=given.batch, max_wait_time=given.wait_ms, timeout=60
    )
    server.run()
