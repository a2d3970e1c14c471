"""The worker of the tutorials: `celery -A benchmarks.tutorial.tasks worker`, the prefork pool."""

import base64
import json
import os
from typing import Any

from celery import Celery
from celery.signals import worker_process_init

from benchmarks.stack.model import Measured

celery = Celery("tutorial", broker=os.environ["TUTORIAL_BROKER"], backend=os.environ["TUTORIAL_BACKEND"])
_model: list[Measured] = []


@worker_process_init.connect  # type: ignore[untyped-decorator]
def load_model(**_: Any) -> None:
    """Load the model once a process, as the better tutorials do."""
    _model[:] = [Measured.load(os.environ["TUTORIAL_MODEL"], threads=1)]


@celery.task(name="predict")  # type: ignore[untyped-decorator]
def predict(image: str) -> dict[str, Any]:
    """Decode one image (base64) and predict it."""
    (output,) = _model[0].outputs([base64.b64decode(image)])
    result: dict[str, Any] = json.loads(output)
    return result
