"""LitServe: FastAPI in front, a worker process a core, batches; `fast_queue` as its documentation advises under load.

https://lightning.ai/docs/litserve/features/batching
"""

from collections.abc import Sequence
from typing import Any

import litserve
from fastapi import Request

from benchmarks.peers.systems.given import Given, answer
from benchmarks.stack.independent_model import Prediction


class Inference(litserve.LitAPI):
    """A file of a form in, a class out."""

    def setup(self, _device: str) -> None:
        """Load the model, once a worker."""
        self.model = Given.from_environment().load()

    def decode_request(self, request: Request) -> bytes:
        """Return the image's bytes: a batch is decoded by its worker at once."""
        data: bytes = request["image"].file.read()
        return data

    def batch(self, inputs: list[bytes]) -> list[bytes]:
        """Keep them a list."""
        return inputs

    def predict(self, images: Sequence[bytes]) -> list[Prediction]:
        """Predict a batch."""
        return self.model.predict(images)

    def unbatch(self, output: list[Prediction]) -> list[Prediction]:
        """Return them one by one."""
        return output

    def encode_response(self, output: Prediction) -> dict[str, Any]:
        """Return what becomes JSON."""
        return answer(output)


if __name__ == "__main__":
    given = Given.from_environment()
    api = Inference(max_batch_size=given.batch, batch_timeout=given.wait_ms / 1000)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=given.processes, fast_queue=True)
    server.run(host="127.0.0.1", port=given.port, generate_client_file=False, log_level="warning", access_log=False)
