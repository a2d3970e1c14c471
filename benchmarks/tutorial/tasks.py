"""The worker of the tutorials: `celery -A benchmarks.tutorial.tasks worker`, the prefork pool."""

import base64
import os
from dataclasses import asdict
from typing import Any

from celery import Celery
from celery.signals import worker_process_init

from benchmarks.stack.independent_model import IndependentModel

celery = Celery("tutorial", broker=os.environ["TUTORIAL_BROKER"], backend=os.environ["TUTORIAL_BACKEND"])
_model: list[IndependentModel] = []


@worker_process_init.connect  # type: ignore[untyped-decorator]
def load_model(**_: Any) -> None:
    """Load the model once a process, as the better tutorials do."""
    _model[:] = [IndependentModel.load(os.environ["TUTORIAL_MODEL"])]


@celery.task(name="predict")  # type: ignore[untyped-decorator]
def predict(image: str) -> dict[str, Any]:
    """Decode one image (base64) and predict it."""
    (prediction,) = _model[0].predict([base64.b64decode(image)])
    return asdict(prediction)
