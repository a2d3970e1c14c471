"""Bells: Celery tasks that wake a worker. The Lua scripts push them onto Celery's queues themselves.

The script that enqueues work also rings, so no ring can be lost between the two. Celery makes the message (protocol 2);
its envelope is written here as kombu's Redis transport writes it: a JSON object, pushed onto the list that is named as
the queue. The task's id is the bell's token, which the script fills in.
"""

from functools import cache

import orjson
from celery import Celery

from shared.domain.identifiers import ModelName
from shared.queue import keys

PREDICT_TASK = "worker.tasks.predict"
RECORD_TASK = "worker.tasks.record"
WEBHOOK_TASK = "worker.tasks.deliver"
TOKEN = "{token}"  # noqa: S105  a placeholder that the `ring` of common.lua replaces


@cache
def task_message(task: str, *arguments: str, queue: str) -> bytes:
    """Return the message of one task call, with TOKEN where its id goes."""
    app = Celery(set_as_current=False)
    message = app.amqp.as_task_v2(TOKEN, task, args=arguments, kwargs={}, ignore_result=True)
    return orjson.dumps(
        {
            "body": orjson.dumps(message.body).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": message.headers,
            "properties": {
                **message.properties,
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": queue},
                "delivery_tag": TOKEN,
                "priority": 0,
            },
        }
    )


def predict_message(model: ModelName) -> bytes:
    """Return the message that wakes a predict worker of a model."""
    return task_message(PREDICT_TASK, model, queue=keys.predict_queue(model))


def record_message() -> bytes:
    """Return the message that wakes a record worker."""
    return task_message(RECORD_TASK, queue=keys.RECORD_QUEUE)


def webhook_message() -> bytes:
    """Return the message that wakes a webhook worker."""
    return task_message(WEBHOOK_TASK, queue=keys.WEBHOOK_QUEUE)
