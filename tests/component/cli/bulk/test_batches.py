import io
import zipfile
from collections.abc import Iterator
from typing import BinaryIO, Literal

import pytest

from cli.bulk import batches
from cli.client import Client, Declined
from tests.component.cli.bulk.stub_gateway import (
    ANSWER_LOST,
    BROKEN,
    BulkGateway,
    Fault,
    Uploaded,
    bulk_gateway,
    refused,
)


@pytest.fixture
def gateway() -> Iterator[BulkGateway]:
    with bulk_gateway() as server:
        yield server


@pytest.fixture
def pauses() -> list[float]:
    """The client's pauses in seconds, recorded instead of waited."""
    return []


@pytest.fixture
def client(gateway: BulkGateway, pauses: list[float]) -> Iterator[Client]:
    with Client(gateway.url, pause=pauses.append) as client:
        yield client


@pytest.fixture
def archive() -> BinaryIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("1.png", b"1")
    return file


def busy(seconds: str) -> Fault:
    return Fault(answer=(503, {"Retry-After": seconds}, {"title": "Full", "detail": "the queue is full"}))


def test_the_client_waits_as_long_as_the_gateway_asks(
    gateway: BulkGateway, client: Client, pauses: list[float], archive: BinaryIO
) -> None:
    gateway.state.faults = [busy("7"), busy("0"), busy("3600"), busy("soon")]
    assert batches.upload_archive(client, archive, model=None, webhook=None, key="k").total == 1
    # At least the pause after a broken connection, at most a minute.
    assert pauses == [7, 1, 60, 4]


def test_a_connection_that_keeps_breaking_is_given_up_after_about_a_minute(
    gateway: BulkGateway, client: Client, pauses: list[float], archive: BinaryIO
) -> None:
    gateway.state.faults = [BROKEN] * 20
    with pytest.raises(Declined, match=r"^Nothing answers at "):
        batches.upload_archive(client, archive, model=None, webhook=None, key="k")
    assert len(gateway.state.posts) == 10
    assert 45 <= sum(pauses) <= 75
    assert pauses == sorted(pauses)


def test_the_client_waits_for_a_gateway_that_is_down(pauses: list[float]) -> None:
    with Client("http://127.0.0.1:1", pause=pauses.append) as client:
        with pytest.raises(Declined, match="ConnectError"):
            batches.read_batch(client, "batch0")
        assert len(pauses) == 9
        with pytest.raises(Declined, match="ConnectError"):
            batches.check_gateway(client)
    assert len(pauses) == 9


def test_an_upload_that_is_read_for_ever_is_given_up_with_the_gateways_error(
    gateway: BulkGateway, client: Client, archive: BinaryIO
) -> None:
    gateway.state.faults = [refused(409, "still being read")] * 20
    with pytest.raises(Declined, match="still being read"):
        batches.upload_archive(client, archive, model=None, webhook=None, key="k")
    assert len(gateway.state.posts) == batches.MOST_FIRST_TRIES


def test_an_upload_whose_first_attempt_was_canceled_is_sent_again(
    gateway: BulkGateway, client: Client, archive: BinaryIO
) -> None:
    gateway.state.batches["broken"] = Uploaded("broken", [], canceled=True)
    gateway.state.faults = [refused(409, "still being read", first_id="broken"), ANSWER_LOST]
    assert batches.upload_archive(client, archive, model=None, webhook=None, key="k").status == "completed"
    assert len(gateway.state.posts) == 3


def test_an_unknown_batch_is_none(client: Client) -> None:
    assert batches.read_batch(client, "batch7") is None


@pytest.mark.parametrize("format", ["ndjson", "csv"])
def test_lines_go_on_where_the_connection_broke(
    gateway: BulkGateway, client: Client, format: Literal["ndjson", "csv"]
) -> None:
    gateway.state.batches["b"] = Uploaded("b", ["1.png", "2\u2028.png", "3.txt"])
    whole = list(batches.result_lines(client, "b", format))
    assert len(whole) == (4 if format == "csv" else 3)
    gateway.state.broken_results = 3
    assert list(batches.result_lines(client, "b", format)) == whole


def test_results_that_keep_breaking_off_are_given_up(gateway: BulkGateway, client: Client) -> None:
    gateway.state.batches["b"] = Uploaded("b", ["1.png", "2.png"])
    gateway.state.broken_results = 20
    with pytest.raises(Declined, match="results of b break off"):
        list(batches.image_results(client, "b"))
