"""Replicate's own Python client works; only its base URL is set."""

import asyncio
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tests.support.api_client import Door
from tests.support.extra_processes import WorkerByHand
from tests.support.pictures import data_url, renewed

with warnings.catch_warnings():
    # It uses pydantic's old interface, which says so on newer Pythons.
    warnings.simplefilter("ignore")
    from replicate.client import Client
    from replicate.exceptions import ModelError, ReplicateError
    from replicate.pagination import async_paginate, paginate

REFERENCES = ("darkroom/digits", "darkroom/digits:{version}", "darkroom/digits:digits:{version}", "me/digits@champion")


@pytest.fixture
def client(door: Door) -> Iterator[Client]:
    client = Client(base_url=door.url, api_token="anything", trust_env=False)  # noqa: S106  nobody's
    client.poll_interval = 0.02
    yield client
    client._client.close()


@pytest.fixture(scope="module")
def version(door: Door) -> str:
    return str(door.get("/v1/models/digits")["aliases"]["champion"])


@pytest.fixture
def file(image: bytes, tmp_path: Path) -> Iterator[Any]:
    """A digit in a file on disk, open, as people pass it."""
    path = tmp_path / "digit.png"
    path.write_bytes(image)
    with path.open("rb") as opened:
        yield opened


@pytest.fixture(scope="module")
def label(door: Door, scan: bytes) -> str:
    """What the model makes of the digit."""
    return str(door.predicted(scan)["output"]["predicted_class"])


@pytest.mark.parametrize("strategy", ["base64", "url"])
@pytest.mark.parametrize("reference", REFERENCES)
def test_run_predicts_an_open_file_sent_either_way(
    client: Client, file: Any, label: str, version: str, reference: str, strategy: Any
) -> None:
    ref = reference.format(version=version)
    output: Any = client.run(ref, input={"image": file}, file_encoding_strategy=strategy)
    assert output["predicted_class"] == label
    assert len(output["probabilities"]) == 10


@pytest.mark.parametrize("make", [BytesIO, data_url], ids=["bytes", "data URL"])
def test_run_takes_bytes_in_memory_and_data_urls(
    client: Client, image: bytes, label: str, make: Callable[[bytes], Any]
) -> None:
    output: Any = client.run("darkroom/digits", input={"image": make(image)})
    assert output["predicted_class"] == label


def test_run_polls_when_waiting_is_switched_off(client: Client, image: bytes, label: str) -> None:
    output: Any = client.run("darkroom/digits", input={"image": data_url(image)}, wait=False)
    assert output["predicted_class"] == label


def test_run_raises_the_models_error(client: Client, scan: bytes) -> None:
    broken = bytearray(renewed(scan))
    place = broken.index(b"IDAT")
    broken[place + 4 : place + 40] = bytes(36)
    with pytest.raises(ModelError) as error:
        client.run("darkroom/digits", input={"image": data_url(bytes(broken))})
    assert error.value.prediction.status == "failed"
    assert error.value.prediction.error


def test_a_prediction_is_created_reloaded_and_waited_for(client: Client, door: Door, image: bytes, label: str) -> None:
    with door.workers_stopped():
        made = client.predictions.create(model="darkroom/digits", input={"image": data_url(image)}, wait=False)
        assert made.status == "starting"
        made.reload()
        assert (made.status, made.output) == ("starting", None)
    made.wait()
    assert (made.status, made.error, made.logs) == ("succeeded", None, "")
    output: Any = made.output
    assert output["predicted_class"] == label
    assert client.predictions.get(made.id).output == made.output
    assert made.metrics is not None
    assert made.metrics["predict_time"] > 0


def test_a_prediction_is_created_by_version(client: Client, scan: bytes, version: str) -> None:
    model = client.models.get("darkroom/digits")
    assert model.latest_version is not None
    for by in (version, f"digits:{version}", "digits", "darkroom/digits@champion", model.latest_version):
        made = client.predictions.create(version=by, input={"image": data_url(renewed(scan))}, wait=20)
        assert (made.status, made.version) == ("succeeded", version)
    ref: Any = model.latest_version  # its own signature has forgotten this way
    output: Any = client.run(ref, input={"image": data_url(renewed(scan))})
    assert output["predicted_class"]


def test_predictions_are_listed_and_paged(client: Client, door: Door, scan: bytes) -> None:
    ids = [door.predicted(renewed(scan))["id"] for _ in range(3)]
    page = client.predictions.list()
    assert [prediction.id for prediction in page][:3] == ids[::-1]
    following = client.predictions.list(cursor=f"{door.url}/v1/predictions?limit=2")
    assert [prediction.id for prediction in following] == [ids[2], ids[1]]
    assert following.next
    assert client.predictions.list(cursor=following.next)[0].id == ids[0]
    pages = paginate(client.predictions.list)
    assert next(pages)[0].id == ids[2]


def test_a_prediction_is_canceled_by_id_and_by_itself(client: Client, door: Door, scan: bytes) -> None:
    with door.workers_stopped():
        first, second = (
            client.predictions.create(model="darkroom/digits", input={"image": data_url(renewed(scan))}, wait=False)
            for _ in range(2)
        )
        assert client.predictions.cancel(first.id).status == "canceled"
        second.cancel()
        assert second.status == "canceled"
    first.wait()
    assert (first.status, first.output) == ("canceled", None)


def test_a_stream_gives_the_output_and_ends(client: Client, image: bytes, label: str) -> None:
    events = list(client.stream("darkroom/digits", input={"image": data_url(image)}))
    assert [event.event.value for event in events] == ["logs", "logs", "output", "done"]
    assert f'"predicted_class":"{label}"' in str(events[2])
    assert [event.id for event in events] == ["1", "2", "3", "4"]


def test_a_stream_follows_a_prediction_that_has_not_begun(client: Client, door: Door, image: bytes) -> None:
    with door.workers_stopped():
        worker = WorkerByHand(door.redis)
        made = client.predictions.create(model="darkroom/digits", input={"image": data_url(image)}, wait=False)
        kinds = []
        for event in made.stream():
            kinds.append(event.event.value)
            if event.data == "starting":
                worker.begin()
                worker.succeed()
    assert kinds[0] == "logs"
    assert kinds[-2:] == ["output", "done"]


def test_models_and_versions_are_read(client: Client, version: str) -> None:
    model = client.models.get("darkroom/digits")
    assert (model.id, model.visibility) == ("darkroom/digits", "private")
    assert [found.id for found in client.models.list()] == ["darkroom/digits", "darkroom/twice"]
    assert version in [found.id for found in model.versions.list()]
    assert model.versions.get(version).openapi_schema["components"]["schemas"]["Output"]


def test_files_are_kept_listed_and_deleted(client: Client, file: Any, image: bytes) -> None:
    made = client.files.create(file, metadata={"who": "ä"})
    assert (made.name, made.content_type, made.size, made.metadata) == (
        "digit.png",
        "image/png",
        len(image),
        {"who": "ä"},
    )
    assert client.files.get(made.id) == made
    assert made in client.files.list()
    assert client.files.delete(made.id)
    with pytest.raises(ReplicateError, match="status: 404"):
        client.files.get(made.id)


def test_a_refusal_is_the_clients_own_error_with_our_detail(client: Client, image: bytes) -> None:
    with pytest.raises(ReplicateError) as error:
        client.run("darkroom/nosuch", input={"image": data_url(image)})
    assert (error.value.status, error.value.type) == (404, "/problems/unknown-model")
    assert error.value.title
    assert "digits" in str(error.value.detail)
    with pytest.raises(ReplicateError, match="status: 422"):
        client.run("darkroom/digits", input={"image": "https://example.org/cat.png"})
    with pytest.raises(ReplicateError, match="status: 404"):
        client.predictions.get("nonsense")


def test_the_asynchronous_client_works(client: Client, door: Door, scan: bytes, label: str) -> None:
    async def told(events: AsyncIterator[Any]) -> list[str]:
        return [event.event.value async for event in events]

    async def claim() -> None:
        strategies: tuple[Any, ...] = ("base64", "url")
        for strategy in strategies:
            image = {"image": BytesIO(renewed(scan))}
            output: Any = await client.async_run("darkroom/digits", input=image, file_encoding_strategy=strategy)
            assert output["predicted_class"] == label
        data = {"image": data_url(renewed(scan))}
        made = await client.predictions.async_create(model="darkroom/digits", input=data)
        await made.async_wait()
        assert made.status == "succeeded"
        assert (await client.predictions.async_get(made.id)).output == made.output
        async for page in async_paginate(client.predictions.async_list):
            assert page[0].id == made.id
            break
        assert (await client.predictions.async_cancel(made.id)).status == "succeeded"
        assert await told(made.async_stream()) == ["logs", "logs", "output", "done"]
        assert (await client.models.async_get("darkroom/digits")).name == "digits"
        await client._async_client.aclose()

    asyncio.run(claim())
    door.wait_until_quiet()
