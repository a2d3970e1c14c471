"""Decoding on several threads: results in order, errors the caller's, small work done by the caller."""

import threading

import pytest

from worker.decode.decode_threads import WORTH_A_THREAD, DecodeThreads


def where(image: bytes) -> tuple[bytes, int]:
    return image, threading.get_ident()


def test_results_come_in_the_images_order() -> None:
    threads = DecodeThreads(4)
    images = [bytes([number]) for number in range(50)]
    found = threads.map(where, images, estimated_work=100.0)
    threads.stop()
    assert [image for image, _ in found] == images
    assert threading.get_ident() not in {thread for _, thread in found}


@pytest.mark.parametrize(("count", "images", "work"), [(1, 5, 100.0), (4, 1, 100.0), (4, 5, WORTH_A_THREAD / 2)])
def test_the_caller_decodes_what_is_not_worth_a_thread(count: int, images: int, work: float) -> None:
    threads = DecodeThreads(count)
    found = threads.map(where, [b"x"] * images, estimated_work=work)
    threads.stop()
    assert {thread for _, thread in found} == {threading.get_ident()}


def test_an_error_reaches_the_caller() -> None:
    def broken(image: bytes) -> bytes:
        raise ValueError(image)

    threads = DecodeThreads(2)
    with pytest.raises(ValueError, match="b"):
        threads.map(broken, [b"a", b"b"], estimated_work=10.0)
    threads.stop()
