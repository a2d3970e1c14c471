"""Uploaded files: stored in Redis for a limited time, without a TTL, and visible to their owner alone."""

import hashlib
import io
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import redis
from fastapi import FastAPI
from PIL import Image

from api.health.limits import limits_in_force as api_limits
from api.schemas import File, FileList
from shared.domain.identifiers import FileId, Owner, new_uuid7
from shared.domain.timestamps import now_us
from shared.queue import keys
from shared.queue.upkeep.expired_files import purge_expired

Serve = Callable[..., Any]
NOBODYS = "018f0000-0000-7000-8000-000000000000"
OF_THE_GATEWAY = {keys.ROUTE_READERS.encode()}
"""Keys of Redis that a gateway has as long as it runs."""


@pytest.fixture
def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG")
    return buffer.getvalue()


async def upload(client: httpx.AsyncClient, *content: Any, **data: str) -> dict[str, Any]:
    response = await client.post("/v1/files", files={"content": content or ("a.txt", b"words")}, data=data)
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    assert response.headers["location"] == body["urls"]["get"]
    File.model_validate(body)
    return body


def test_a_file_is_returned_as_it_was_stored(serve: Serve, png: bytes) -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        kept = await upload(client, "7.png", png, "image/png", metadata='{"ward": 3}')
        assert None not in kept.values()
        assert kept["checksums"]["sha256"] == hashlib.sha256(png).hexdigest()
        assert (kept["name"], kept["size"], kept["metadata"]) == ("7.png", len(png), {"ward": 3})
        assert kept["urls"]["get"] == f"http://darkroom.test/v1/files/{kept['id']}"
        assert (await client.get(f"/v1/files/{kept['id']}")).json() == kept

    serve(claim)


@pytest.mark.parametrize(
    ("part", "name", "content_type"),
    [
        (("upload", None, "application/octet-stream"), "upload.png", "image/png"),
        (("blob", None), "blob.png", "image/png"),
        (("lies.txt", None, "text/plain"), "lies.txt", "image/png"),
        (("notes", b"words", "Text/Plain; charset=utf-8"), "notes", "text/plain"),
        (("upload", b"words"), "upload", "application/octet-stream"),
    ],
)
def test_a_missing_name_or_type_is_sniffed(
    serve: Serve, png: bytes, part: tuple[Any, ...], name: str, content_type: str
) -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        kept = await upload(client, part[0], part[1] or png, *part[2:])
        assert (kept["name"], kept["content_type"]) == (name, content_type)

    serve(claim)


def test_a_deleted_file_is_unknown(serve: Serve, redis_client: "redis.Redis") -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        kept = await upload(client)
        assert (await client.delete(f"/v1/files/{kept['id']}")).status_code == 204
        assert (await client.delete(f"/v1/files/{kept['id']}")).status_code == 404
        assert (await client.get(f"/v1/files/{kept['id']}")).json()["type"] == "/problems/unknown-file"

    serve(claim)
    assert {*redis_client.keys()} <= OF_THE_GATEWAY


@pytest.mark.parametrize("id", [NOBODYS, "x", NOBODYS.upper() + "0", "%C2%A0"])
def test_a_foreign_or_malformed_id_is_unknown(serve: Serve, id: str) -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        for method in ("GET", "DELETE"):
            response = await client.request(method, f"/v1/files/{id}")
            assert (response.status_code, response.json()["type"]) == (404, "/problems/unknown-file")

    serve(claim)


def test_another_owners_file_is_unknown(serve: Serve, redis_client: "redis.Redis") -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        kept = await upload(client)
        redis_client.hset(keys.file(kept["id"]), "owner", "somebody else")
        assert (await client.get(f"/v1/files/{kept['id']}")).status_code == 404

    serve(claim)


def test_a_list_pages_through_every_file_once_newest_first(serve: Serve) -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        ids = [(await upload(client))["id"] for _ in range(7)]
        url, seen = "/v1/files?limit=3", []
        while url:
            page = (await client.get(url)).json()
            FileList.model_validate(page)
            seen += [file["id"] for file in page["results"]]
            url = page["next"]
            assert url is None or url.startswith("http://darkroom.test/v1/files?cursor=")
        assert seen == sorted(ids, reverse=True)

    serve(claim)


@pytest.mark.parametrize("query", ["cursor=nonsense", "limit=0", "limit=101", "limit=x"])
def test_a_list_refuses_invalid_parameters(serve: Serve, query: str) -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        response = await client.get(f"/v1/files?{query}")
        assert (response.status_code, response.json()["type"]) == (422, "/problems/invalid-parameter")
        assert response.json()["errors"][0]["pointer"] == f"/{query.partition('=')[0]}"

    serve(claim)


def test_an_expired_file_is_unknown_even_before_it_is_purged(serve: Serve, redis_client: "redis.Redis") -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        kept = await upload(client)
        redis_client.hset(keys.file(kept["id"]), "expires", now_us())
        assert (await client.get(f"/v1/files/{kept['id']}")).status_code == 404
        assert (await client.get("/v1/files")).json()["results"] == []

    serve(claim)


def test_files_have_no_ttl_and_the_purge_deletes_expired_ones(serve: Serve, redis_client: "redis.Redis") -> None:
    async def claim(client: httpx.AsyncClient) -> list[str]:
        return [(await upload(client))["id"] for _ in range(3)]

    ids = serve(claim, file_ttl=60)
    mortal = {key for key in redis_client.scan_iter() if redis_client.ttl(key) >= 0}
    assert mortal <= {b"upload_rate:default"} | OF_THE_GATEWAY
    assert purge_expired(redis_client, now_us(), 10) == 0
    later = now_us() + 61_000_000
    assert purge_expired(redis_client, later, 2) == 2
    assert redis_client.zcard(keys.files_of(Owner("default"))) == 1
    assert redis_client.exists(keys.file(FileId(ids[-1]))) == 1
    assert purge_expired(redis_client, later, 2) == 1
    assert {*redis_client.keys()} <= OF_THE_GATEWAY


def test_a_purge_deletes_a_file_that_a_crash_left_incomplete(redis_client: "redis.Redis") -> None:
    id = FileId(new_uuid7())
    redis_client.zadd(keys.FILES, {f"{id} an owner": 1})
    redis_client.zadd(keys.files_of(Owner("an owner")), {id: 1})
    assert purge_expired(redis_client, 2, 10) == 1
    assert redis_client.keys() == []


def test_a_file_is_refused_with_503_when_redis_is_full(serve: Serve, redis_client: "redis.Redis") -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        redis_client.config_set("maxmemory", 1)
        response = await client.post("/v1/files", files={"content": ("a", b"words")})
        assert (response.status_code, response.json()["type"]) == (503, "/problems/storage-unavailable")
        assert int(response.headers["retry-after"]) > 0

    serve(claim)


def test_content_is_read_back_for_a_prediction(serve: Serve, app: Any, png: bytes) -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        kept = await upload(client, "7.png", png, "image/png")
        stored = await app.state.gateway.producer.files.content(Owner("default"), kept["id"])
        assert (stored.content, stored.name, stored.content_type) == (png, "7.png", "image/png")

    serve(claim)


def test_a_quota_error_names_the_quota_and_what_is_left(serve: Serve, app: FastAPI) -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        gate = app.state.gateway
        gate.files = gate.files.model_copy(update={"max_files": 2, "max_bytes": 5000})
        for _ in range(2):
            kept = await upload(client)
        answer = await client.post("/v1/files", files={"content": ("a.txt", b"words")})
        problem = answer.json()
        assert (answer.status_code, problem["type"]) == (429, "/problems/file-quota")
        assert problem["detail"] == "2 files are kept and 2 may be: none is left; delete some"
        assert (problem["limit"], problem["used"], problem["allowed"]) == ("files", 2, 2)
        assert 86_000 < int(answer.headers["Retry-After"]) <= 86_400
        await client.delete(f"/v1/files/{kept['id']}")
        answer = await client.post("/v1/files", files={"content": ("a.txt", b"w" * 4800)})
        problem = answer.json()
        assert (answer.status_code, problem["limit"], problem["allowed"]) == (429, "bytes", 5000)
        assert f"{5000 - problem['used']:,} are left" in problem["detail"]
        answer = await client.post("/v1/files", files={"content": ("a.txt", b"w" * 5001)})
        assert (answer.status_code, answer.json()["limit"]) == (413, 5000)
        limits_in_force = api_limits(gate, wire_holds=False)
        assert (limits_in_force["files"], limits_in_force["file_bytes"]) == (2, 5000)

    serve(claim)


def test_an_owner_over_quota_is_refused_before_the_body_is_read(serve: Serve, app: FastAPI) -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        gate = app.state.gateway
        gate.redis_memory.limit_bytes = 800_000  # a quarter for all files, half of it for one owner
        read = 0

        async def body() -> AsyncIterator[bytes]:
            nonlocal read
            for _ in range(200):
                read += 1000
                yield b"x" * 1000

        headers = {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": "200000"}
        answer = await client.post("/v1/files", content=body(), headers=headers)
        assert (answer.status_code, answer.json()["limit"]) == (413, 100_000)
        assert read == 0

    serve(claim)


def test_file_uploads_are_refused_at_less_memory_than_submissions(serve: Serve, app: FastAPI) -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        app.state.gateway.redis_memory.over = lambda share: share <= 0.6
        answer = await client.post("/v1/files", files={"content": ("a.txt", b"words")})
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/storage-unavailable")
        assert answer.json()["detail"] == "redis has no room for more files"

    serve(claim)
