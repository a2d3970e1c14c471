"""An image that can't be predicted fails alone, with its error code; the others of its micro-batch succeed."""

from tests.support.breakable_stack import Breakable, colour, picture, undecodable
from tests.support.faulty_model import CLASSES, KILLS, RAISES


def submit_as_one_batch(system: Breakable, images: list[bytes]) -> list[str]:
    """Submit images while no worker runs, so that one pull takes them all."""
    with system.stopped("predict"):
        return [system.submit(image) for image in images]


def test_undecodable_images_and_ones_the_model_raises_for_fail_alone(breakable: Breakable) -> None:
    numbers = range(10_000, 10_020)
    bad = {3: undecodable(), 8: colour(*RAISES), 9: undecodable()}
    images = [bad.get(place, picture(number)) for place, number in enumerate(numbers)]
    found = [breakable.ended(id) for id in submit_as_one_batch(breakable, images)]
    assert {one["metrics"]["batch_size"] for one in found} == {len(images)}
    for place, (one, number) in enumerate(zip(found, numbers, strict=True)):
        if place in bad:
            code = "model_error" if place == 8 else "undecodable_image"
            assert (one["status"], one["error_code"], one["output"]) == ("failed", code, None)
            assert one["error"]
        else:
            assert (one["status"], one["output"]["predicted_index"]) == ("succeeded", number % CLASSES)
    assert "no such picture" in found[8]["error"]
    breakable.wait_until_mended()
    breakable.audit()


def test_an_image_that_kills_its_process_fails_alone_after_max_attempts(breakable: Breakable) -> None:
    numbers = range(11_000, 11_012)
    images = [picture(number) for number in numbers]
    images[5] = colour(*KILLS)
    ids = submit_as_one_batch(breakable, images)
    found = [breakable.ended(id) for id in ids]
    poison = found.pop(5)
    assert (poison["status"], poison["error_code"], poison["attempts"]) == ("failed", "worker_lost", 3)
    for one, number in zip(found, [*numbers[:5], *numbers[6:]], strict=True):
        assert (one["status"], one["output"]["predicted_index"]) == ("succeeded", number % CLASSES)
    # They were in the batch that it ended, and then each ran alone.
    assert {(one["attempts"], one["metrics"]["batch_size"]) for one in found} == {(2, 1)}
    breakable.wait_until_mended()
    rows = breakable.rows(ids)
    assert [rows[id].status for id in ids] == ["succeeded"] * 5 + ["failed"] + ["succeeded"] * 6
    breakable.audit()
