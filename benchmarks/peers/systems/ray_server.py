"""Ray Serve: a replica a core behind its HTTP proxy, `@serve.batch`.

https://docs.ray.io/en/latest/serve/advanced-guides/dyn-req-batch.html
"""

import signal
from typing import Any

import ray
from ray import serve
from starlette.requests import Request

from benchmarks.peers.systems.given import Given, answer

given = Given.from_environment()


@serve.deployment(num_replicas=given.processes, max_ongoing_requests=given.batch * 2, ray_actor_options={"num_cpus": 1})
class Inference:
    """Takes the request's body."""

    def __init__(self) -> None:
        """Load the model, once a replica."""
        self.model = given.load()

    @serve.batch(max_batch_size=given.batch, batch_wait_timeout_s=given.wait_ms / 1000)
    async def predict(self, images: list[bytes]) -> list[dict[str, Any]]:
        """Predict a batch."""
        return [answer(prediction) for prediction in self.model.predict(images)]

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Serve one request."""
        found: dict[str, Any] = await self.predict(await request.body())
        return found


if __name__ == "__main__":
    # One CPU more than there are replicas: the proxy and the controller ask for none, Serve's own tasks may.
    ray.init(num_cpus=given.processes + 1, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": given.port})
    serve.run(Inference.bind(), route_prefix="/")  # type: ignore[attr-defined]
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()
