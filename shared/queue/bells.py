"""A bell is a Celery task that says "there is work"; scripts put it on the Celery queue themselves.

Ringing inside the script that enqueues makes a lost ring impossible. Celery makes the message (protocol 2); only the
envelope is written here, as kombu's Redis transport writes it: a JSON object pushed onto a list named as the queue.
The task's id is the bell's token, which the script fills in.
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
    """Return the bell of a model's lanes."""
    return task_message(PREDICT_TASK, model, queue=keys.predict_queue(model))


def record_message() -> bytes:
    """Return the bell of the finished stream."""
    return task_message(RECORD_TASK, queue=keys.RECORD_QUEUE)


def webhook_message() -> bytes:
    """Return the bell of the outbox."""
    return task_message(WEBHOOK_TASK, queue=keys.WEBHOOK_QUEUE)
