"""celery-batches behind the tutorials' gateway: a worker buffers tasks and hands them over in batches.

https://celery-batches.readthedocs.io: results are marked done one by one, and the prefetch has to let a batch gather.
"""

import base64
import os
from dataclasses import asdict
from typing import Any

from celery import Celery
from celery.signals import worker_process_init
from celery_batches import Batches, SimpleRequest

from benchmarks.peers.systems.given import Given
from benchmarks.stack.independent_model import IndependentModel

_given = Given.from_environment()
celery = Celery("peer", broker=os.environ["TUTORIAL_BROKER"], backend=os.environ["TUTORIAL_BACKEND"])
celery.conf.worker_prefetch_multiplier = _given.batch * 2
_model: list[IndependentModel] = []


@worker_process_init.connect
def load_model(**_: Any) -> None:
    """Load the model once a process."""
    _model[:] = [_given.load()]


@celery.task(base=Batches, flush_every=_given.batch, flush_interval=_given.wait_ms / 1000, name="predict")
def predict(requests: list[SimpleRequest]) -> None:
    """Decode and predict a batch."""
    images = [base64.b64decode(request.args[0]) for request in requests]
    for request, prediction in zip(requests, _model[0].predict(images), strict=True):
        celery.backend.mark_as_done(request.id, asdict(prediction), request=request)
