"""Whether a model's workers take bells from their Celery queue."""

import time

import redis

from shared.domain.identifiers import ModelName
from shared.queue import bells, keys
from shared.queue.lua import Script, Scripts


def takes_bells(client: redis.Redis, model: ModelName) -> bool:
    """Ring a model's bell unless it rings; return whether Celery's consumer takes the message."""
    queue, bell = keys.predict_queue(model), keys.bell(model)
    Scripts(client).run(Script.RING, (bell,), queue, bells.predict_message(model))
    for _ in range(40):
        if not client.exists(bell) and not client.llen(queue):
            return True
        time.sleep(0.05)
    return False
