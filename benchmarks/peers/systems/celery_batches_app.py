"""The tutorials' gateway, its tasks taken in batches: `uvicorn benchmarks.peers.systems.celery_batches_app:app`."""

import base64
from typing import Any

from celery.result import AsyncResult
from fastapi import FastAPI, UploadFile

from benchmarks.peers.systems.celery_batches_tasks import celery, predict

app = FastAPI()


@app.post("/predict", status_code=202)
async def submit(image: UploadFile) -> dict[str, str]:
    """Queue one task for one image; the worker gathers them."""
    task = predict.delay(base64.b64encode(await image.read()).decode())
    return {"task_id": task.id, "status": "PENDING"}


@app.get("/result/{task_id}")
async def result(task_id: str) -> dict[str, Any]:
    """Return how the task is, and its result once there is one."""
    task = AsyncResult(task_id, app=celery)
    status = task.state
    return {"task_id": task_id, "status": status, "result": task.result if status == "SUCCESS" else None}
