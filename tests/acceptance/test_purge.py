"""`darkroom purge` deletes everything of one owner, finished or not, and nothing of others."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import redis
from sqlalchemy import text

from shared.domain.identifiers import Digest, ModelName, Owner
from shared.pictures.folder_store import FolderStore
from shared.pictures.names import picture_name
from shared.queue import keys
from shared.settings import Database
from shared.storage.engine import make_engine
from tests.support.api_client import Door
from tests.support.batches import accepted, ended, send_images
from tests.support.pictures import renewed
from tests.support.waiting import LIMIT

COMMAND = Path(sys.executable).with_name("darkroom")

if TYPE_CHECKING:
    from tests.support.stack import Stack

PNG = {"Content-Type": "image/png"}
HOOK = "http://127.0.0.1:9/hook"


def key(stack: "Stack", name: str) -> str:
    return stack.darkroom("keys", "create", name).stdout.split()[0]


def use(stack: "Stack", name: str, scan: bytes) -> httpx.Client:
    """Submit, upload a batch and a file, and make a webhook secret, all as one owner."""
    client = httpx.Client(
        base_url=stack.url, headers={"Authorization": f"Bearer {key(stack, name)}"}, timeout=LIMIT, trust_env=False
    )
    headers = PNG | {"Prefer": "wait=60", "Idempotency-Key": "once"}
    answer = client.post("/v1/predictions", content=renewed(scan), headers=headers, params={"webhook": HOOK})
    assert answer.json()["status"] == "succeeded"
    ended(client, accepted(send_images(client, [(f"{number}.png", renewed(scan)) for number in range(5)]))["id"])
    client.post("/v1/files", files={"content": ("1.png", scan)})
    client.get("/v1/webhooks/default/secret")
    return client


def rows(stack: "Stack", owner: str) -> dict[str, int]:
    """Return how many rows of an owner there are, by table."""
    engine = make_engine(Database(url=stack.url_of("postgres")))
    tables = ("predictions", "batches", "webhook_deliveries", "webhook_secrets", "api_keys")
    with engine.connect() as connection:
        found = {
            table: connection.execute(
                text(f"SELECT count(*) FROM {table} WHERE owner = :owner"), {"owner": owner}  # noqa: S608
            ).scalar_one()
            for table in tables
        }  # fmt: skip
    engine.dispose()
    return found


def in_redis(client: redis.Redis, owner: str) -> list[str]:
    """Return the keys that are an owner's."""
    found = []
    for name in client.scan_iter(count=10_000):
        words = name.decode()
        is_hash = words.startswith((keys.job_prefix(), keys.file_prefix(), keys.batch_prefix()))
        if f":{owner}" in words or (is_hash and client.hget(name, "owner") == owner.encode()):
            found.append(words)
    return found


def test_purge_deletes_everything_of_one_owner_and_nothing_else(stack: "Stack", door: Door, scan: bytes) -> None:
    with closing(use(stack, "gone", scan)) as gone, closing(use(stack, "stays", scan)) as stays:
        before = rows(stack, "stays")
        assert min(before.values()) > 0
        pictures = FolderStore(Path(stack.environment["DARKROOM_KEEP_IMAGES_URL"]))
        for owner in ("gone", "stays"):
            pictures.keep(picture_name(Owner(owner), ModelName("digits"), Digest("0" * 64), scan), scan)
        with door.workers_stopped():
            gone.post("/v1/predictions", content=renewed(scan), headers=PNG)
            accepted(send_images(gone, [("1.png", renewed(scan))]))
            assert in_redis(door.redis, "gone")
            said = stack.darkroom("purge", "--owner", "gone", "--yes").stdout
        assert [line.split(maxsplit=1)[1] for line in said.splitlines()] == [
            "unfinished, canceled", "in Redis: files, jobs, cached outputs, keys", "webhook deliveries", "batches",
            "predictions", "feedback", "webhook secrets", "API keys", "kept pictures",
        ]  # fmt: skip
        owners = {
            kept.name.partition("/")[0] for kept in pictures.pictures()
        }  # other tests of this stack keep some too
        assert "stays" in owners
        assert "gone" not in owners
        assert in_redis(door.redis, "gone") == []
        assert set(rows(stack, "gone").values()) == {0}
        assert rows(stack, "stays") == before
        assert stays.get("/v1/predictions").json()["results"]
        assert gone.get("/v1/predictions").status_code == 401
    again = stack.darkroom("purge", "--owner", "gone", "--yes").stdout
    assert {line.split()[0] for line in again.splitlines()} == {"0"}
    assert "All is well" in stack.darkroom("audit").stdout


def test_a_purge_killed_at_any_point_can_be_repeated(stack: "Stack", scan: bytes) -> None:
    use(stack, "halved", scan).close()
    command = [COMMAND, "purge", "--owner", "halved", "--yes"]
    purging = subprocess.Popen(command, env=stack.environment, stdout=subprocess.PIPE, text=True)
    assert purging.stdout is not None
    purging.stdout.readline()
    purging.kill()
    purging.communicate()
    stack.darkroom("purge", "--owner", "halved", "--yes")
    assert set(rows(stack, "halved").values()) == {0}
    assert "All is well" in stack.darkroom("audit").stdout


@pytest.mark.parametrize("answer", ["n\n", ""])
def test_purge_asks_for_confirmation(stack: "Stack", answer: str) -> None:
    done = subprocess.run(
        [COMMAND, "purge", "--owner", "default"],
        env=stack.environment, input=answer, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Delete every prediction, batch, file, delivery, kept picture and key of default?" in done.stdout
