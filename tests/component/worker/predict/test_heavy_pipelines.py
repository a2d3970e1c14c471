"""A picture of a pipeline that takes long to decode: decoded in a process, computed beside the others."""

from collections.abc import Iterator

import pytest
import redis

from tests.support import waiting
from tests.support.heavy_images import large_picture
from tests.support.pipelines import ENSEMBLE, RED, Members, Send, Shades, answer, picture
from tests.support.predictors import Make, job
from worker.decode.decoder_pool import DecoderPool

pytestmark = pytest.mark.slow  # a large image, decoded in a process


@pytest.fixture
def decoders() -> Iterator[DecoderPool]:
    pool = DecoderPool(1, longest=waiting.PATIENCE, max_pixels=10_000_000)
    yield pool
    pool.stop()


def test_a_heavy_picture_of_a_pipeline_gets_the_same_answer_and_holds_up_nobody(
    send: Send, predictor: Make, redis_client: redis.Redis
) -> None:
    one, other = Shades(), Shades(bias=-0.5)
    worker = predictor(members=Members(m=one, b=other))
    heavy, light = send(ENSEMBLE, large_picture(0xFF0000)), send(ENSEMBLE, picture(RED))

    def state(id: str) -> str:
        return job(redis_client, id, "state")[0]

    def is_done(id: str) -> bool:
        return state(id) not in {"starting", "processing"}

    def both_are_taken() -> bool:
        worker.poll()
        return is_done(light) and state(heavy) != "starting"

    waiting.until(both_are_taken, pause=0.002)
    waiting.until(lambda: is_done(heavy), pause=0.002)
    assert answer(redis_client, heavy) == answer(redis_client, light)
    assert (one.passes, other.passes) == ([1, 1], [1, 1])
