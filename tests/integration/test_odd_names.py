"""Models with unusual names that MLflow accepts: followed, loaded, queued for and shown."""

from urllib.parse import quote, unquote, urlsplit

import numpy as np
import orjson
import pytest
import redis
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from api.models.objects import Load, model_object
from shared.domain.identifiers import ModelName
from shared.domain.model_reference import Reference
from shared.observability.metrics import ModelMetrics, PredictMetrics, new_registry
from shared.queue import bells, keys, model_routes
from shared.queue.consumer.lanes import Lanes
from shared.queue.inspection.audit import model_of
from shared.settings import Queue
from tests.support.followers import Followers
from tests.support.registries import MlflowStore

NAMES = (
    "it's", 'say "x"', "a'b\"c", "'", "a b", " lead", "a,b", "ünï", "日本", "100%", "%27", "%2C", "a#b", "a?b", "a&b=c",
    "a.b", "a\\b", "*", "[x]", "a;b", "{x}", "{token}", "-Q", "a+b", "$(x)", "`x`", "<b>", "n\u0301",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_each_model_has_its_own_queue_named_after_it(name: str) -> None:
    queue = keys.predict_queue(ModelName(name))
    assert keys.model_of_queue(queue) == name
    assert "," not in queue
    assert [keys.model_of_queue(other) for other in ("record", "upkeep", "webhooks")] == [None] * 3
    body = orjson.loads(orjson.loads(bells.predict_message(ModelName(name)))["body"])
    assert body[0] == [name]
    assert model_of(keys.lane(ModelName(name), keys.bulk_lane("b1"))) == name


def test_different_models_have_different_queues() -> None:
    assert len({keys.predict_queue(ModelName(name)) for name in NAMES}) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_labels_and_urls_contain_the_models_name(name: str) -> None:
    registry = new_registry()
    ModelMetrics(PredictMetrics(registry), name).count(["succeeded"])
    samples = [
        s for family in text_string_to_metric_families(generate_latest(registry).decode()) for s in family.samples
    ]
    assert name in {sample.labels.get("model") for sample in samples}
    assert Reference.parse_model(name).name == name


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_followed_loaded_and_shown(
    name: str, mlflow_store: MlflowStore, followers: Followers, redis_client: redis.Redis
) -> None:
    model = ModelName(name)
    key = mlflow_store.register("champion", model=model)
    mlflow_store.register("champion", model=ModelName("another"))
    follower = followers.make(model)
    follower.refresh()
    assert len(follower.loaded(key).predict([np.zeros((4, 4, 3), np.uint8)])) == 1
    route = model_routes.read(redis_client, model)
    assert route is not None
    assert (route.model, route.failed, list(route.versions)) == (name, {}, ["1"])
    shown = model_object(
        route, Load(workers=1, loaded_workers=1, lane_depth=0, run_count=0), owner="darkroom", base="http://h"
    )
    path = urlsplit(shown["url"])
    assert (unquote(path.path.rsplit("/", 1)[-1]), path.query, path.fragment) == (name, "", "")
    assert shown["url"].endswith(quote(name, safe=""))
    lanes = Lanes(redis_client, model=model, consumer="w", settings=Queue())
    lanes.sign_of_life()
    lanes.ring()
    assert redis_client.llen(keys.predict_queue(model)) == 1
