import orjson
from celery import Celery
from kombu import Queue

from shared.domain.identifiers import ModelName
from shared.queue import bells
from tests.support.servers import RedisServer


def test_a_bell_equals_the_message_celery_itself_sends(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.flushdb()
        app = Celery(broker=redis_server.url.replace("unix://", "redis+socket://"), set_as_current=False)
        app.conf.task_ignore_result = True
        with app.connection_for_write() as connection:
            app.send_task(
                bells.PREDICT_TASK, ("digits",), queue=Queue("predict.digits"), connection=connection, task_id="t-1"
            )
        sent = orjson.loads(client.rpop("predict.digits"))
        ours = orjson.loads(bells.predict_message(ModelName("digits")).replace(bells.TOKEN.encode(), b"t-1"))
        client.flushdb()
    assert ours["headers"].keys() == sent["headers"].keys()
    for name in ("lang", "task", "id", "root_id", "argsrepr", "kwargsrepr", "timelimit", "retries"):
        assert ours["headers"][name] == sent["headers"][name], name
    assert ours["content-type"] == sent["content-type"]
    assert ours["content-encoding"] == sent["content-encoding"]
    assert ours["properties"].keys() | {"body_encoding"} == sent["properties"].keys()
