"""Ray Serve's asynchronous inference: tasks in Celery over Redis, a replica a core that consumes them, an ingress.

https://docs.ray.io/en/latest/serve/asynchronous-inference.html
"""

import base64
import os
import signal
from typing import Any

import ray
from fastapi import FastAPI, UploadFile
from ray import serve
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import CeleryAdapterConfig, TaskProcessorConfig
from ray.serve.task_consumer import instantiate_adapter_from_config, task_consumer, task_handler

from benchmarks.peers.systems.given import REDIS, Given, answer

given = Given.from_environment()
redis = os.environ[REDIS]
processor = TaskProcessorConfig(
    queue_name="images", adapter_config=CeleryAdapterConfig(broker_url=f"{redis}/0", backend_url=f"{redis}/1")
)
app = FastAPI()


@serve.deployment(num_replicas=given.processes, ray_actor_options={"num_cpus": 1})
@task_consumer(task_processor_config=processor)
class Inference:
    """Takes one task at a time."""

    def __init__(self) -> None:
        """Load the model, once a replica."""
        self.model = given.load()

    @task_handler(name="predict")
    def predict(self, image: str) -> dict[str, Any]:
        """Predict one image, which comes as base64."""
        return answer(self.model.predict([base64.b64decode(image)])[0])


# At its default of 5 requests at once, clients that poll wait for the proxy's next attempt: 3 images/s.
@serve.deployment(max_ongoing_requests=256, ray_actor_options={"num_cpus": 1})
@serve.ingress(app)
class Ingress:
    """Takes files of a form."""

    def __init__(self, _: DeploymentHandle) -> None:
        """Take the consumers' handle, so that they are deployed with this."""
        self.adapter = instantiate_adapter_from_config(processor)

    @app.post("/predict", status_code=202)
    def submit(self, image: UploadFile) -> dict[str, str]:
        """Queue one task for one image."""
        task = self.adapter.enqueue_task_sync("predict", kwargs={"image": base64.b64encode(image.file.read()).decode()})
        return {"task_id": task.id}

    @app.get("/result/{task_id}")
    def result(self, task_id: str) -> dict[str, Any]:
        """Return how the task is, and its result once there is one."""
        task = self.adapter.get_task_status_sync(task_id)
        # It reads the result first and the status afterwards, and the task may end in between.
        status = "PENDING" if task.result is None else task.status
        return {"status": status, "result": task.result if status == "SUCCESS" else None}


if __name__ == "__main__":
    # One CPU a replica and one the ingress', and one more for Serve's own tasks.
    ray.init(num_cpus=given.processes + 2, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": given.port})
    serve.run(Ingress.bind(Inference.bind()), route_prefix="/")  # type: ignore[attr-defined]
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()
