"""Submits pictures for pipelines."""

import hashlib
from typing import Any

import pytest
import redis

from shared.domain.identifiers import ANYONE, Digest, PredictionId, new_uuid7
from shared.domain.image import ImageFacts
from shared.queue.lua import Script, source
from shared.queue.producer.staged_images import stage_command
from shared.queue.producer.submission import Submission, is_staged, prepared, submit_command
from shared.settings import Queue
from tests.support.pipelines import Send, choice


@pytest.fixture
def send(redis_client: redis.Redis) -> Send:
    """Submit a picture for a pipeline, whose first model's lane is `m`; returns the id."""
    redis_client.script_load(source(Script.SUBMIT))

    def send(definition: dict[str, Any], data: bytes, **options: Any) -> str:
        digest = Digest(hashlib.sha256(data).hexdigest())
        submission = Submission(
            id=PredictionId(new_uuid7()),
            owner=ANYONE,
            choice=choice(definition, **options.pop("numbers", {})),
            image=data,
            facts=ImageFacts(sha256=digest, format="PNG", width=1, height=1, bytes=len(data), filename=None),
            metadata={},
            base_url="",
            **options,
        )
        if is_staged(data, Queue()):
            redis_client.execute_command(*stage_command(submission))
        redis_client.execute_command(*submit_command(prepared(submission), settings=Queue(), memory_is_high=False))
        return submission.id

    return send
