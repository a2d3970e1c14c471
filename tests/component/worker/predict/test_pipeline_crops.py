"""Crops of a detector's boxes that go on to the second step of a pipeline."""

import io

import redis
from PIL import Image

from tests.support.pipelines import CROPS, RED, Halves, Members, Send, Shades, answer, picture
from tests.support.predictors import Make, job


def test_the_crop_of_each_box_that_counts_goes_on(send: Send, predictor: Make, redis_client: redis.Redis) -> None:
    classifier = Shades()
    worker = predictor(members=Members(m=Halves(), b=classifier))
    bright, dark = (send(CROPS, picture((0, 0, 0) if red else RED, (red, 0, 0), width=3)) for red in (255, 0))
    worker.poll()
    assert classifier.passes == [2]
    for id, said in ((bright, "bright"), (dark, "dark")):
        output = answer(redis_client, id)
        assert len(output["detections"]) == 2
        (result,) = output["pipeline"]["steps"][1]["results"]
        assert (result["detection"], result["box"]) == (1, [3, 0, 6, 2])
        assert result["output"]["predicted_class"] == said


def test_crops_are_of_the_picture_as_it_is_shown_upright(
    send: Send, predictor: Make, redis_client: redis.Redis
) -> None:
    file = io.BytesIO()
    image = Image.new("RGB", (2, 4))  # stored lying; turned by its orientation, its lower half is on the left
    image.paste(RED, (0, 0, 2, 2))
    image.save(file, "PNG", exif=_rotated_clockwise())
    worker = predictor(members=Members(m=Halves(), b=Shades()))
    id = send(CROPS, file.getvalue())
    worker.poll()
    (result,) = answer(redis_client, id)["pipeline"]["steps"][1]["results"]
    assert result["box"] == [2, 0, 4, 2]
    assert result["output"]["predicted_class"] == "bright"


def _rotated_clockwise() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def test_a_bad_crop_fails_its_picture_alone(send: Send, predictor: Make, redis_client: redis.Redis) -> None:
    worker = predictor(members=Members(m=Halves(), b=Shades()))
    bad, good = send(CROPS, picture(RED, (7, 7, 7))), send(CROPS, picture(RED, RED))
    degrading = send({**CROPS, "on_error": "degrade"}, picture(RED, (7, 7, 7), width=2))
    worker.poll()
    assert job(redis_client, bad, "state", "code", "error") == (
        "failed",
        "model_error",
        "b: ValueError: no such colour",
    )
    assert answer(redis_client, good)["pipeline"]["degraded"] is False
    output = answer(redis_client, degrading)
    assert output["pipeline"]["degraded"] is True
    assert output["pipeline"]["steps"][1]["results"][0]["error_code"] == "model_error"


def test_too_little_memory_for_all_crops_takes_them_in_parts(
    send: Send, predictor: Make, redis_client: redis.Redis
) -> None:
    classifier = Shades(room=2)
    worker = predictor(members=Members(m=Halves(), b=classifier))
    ids = [send(CROPS, picture(RED, (red, 0, 0))) for red in (10, 20, 30, 40)]
    worker.poll()
    assert classifier.passes == [4, 2, 2]
    assert [answer(redis_client, id)["pipeline"]["degraded"] for id in ids] == [False] * 4
