"""Pictures to learn from are written beside predicting, once, and not of an owner that is purged."""

import dataclasses
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import redis
from prometheus_client import CollectorRegistry

from shared.domain.identifiers import ANYONE, Digest, ModelName, Owner, VersionKey
from shared.domain.keep_rule import KeepRule, parse_keep_rule
from shared.observability.metrics import PictureMetrics
from shared.pictures.folder_store import FolderStore
from shared.pictures.picture_store import StoreError
from shared.queue import keys, purge_marks
from shared.queue.consumer.entries import Entry, Result
from shared.queue.picture_store import read_store
from shared.settings import SettingsError
from tests.support.waiting import LIMIT
from worker.predict.kept_pictures import KeptPictures, ModelPictures, start_keeping

ANN, MODEL, VERSION = Owner("ann"), ModelName("a:b"), VersionKey("3-a")


class Counted:
    """A store's folder with what was counted; `fails` puts fail first, `gate` holds them up."""

    def __init__(self, folder: Path, client: redis.Redis, *, most_bytes: int = 1000) -> None:
        self.store = GatedStore(folder)
        self.registry = CollectorRegistry()
        self.kept = KeptPictures(
            self.store, client, PictureMetrics(self.registry), most_bytes=most_bytes, threads=2, pause_seconds=0.001
        )

    def outcomes(self) -> dict[str, float]:
        names = ("kept", "there", "no_room", "failed", "purged")
        counted = {name: self.registry.get_sample_value("darkroom_pictures_total", {"outcome": name}) for name in names}
        return {name: count for name, count in counted.items() if count}

    def names(self) -> list[str]:
        assert self.kept.wait_until_written(seconds=LIMIT)
        return sorted(kept.name.split("/")[-1].partition(".")[0] for kept in self.store.pictures())


class GatedStore(FolderStore):
    fails = 0

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.gate = threading.Event()
        self.gate.set()

    def keep(self, name: str, image: bytes) -> bool:
        self.gate.wait(LIMIT)
        if self.fails:
            self.fails -= 1
            raise StoreError("away")
        return super().keep(name, image)


@pytest.fixture
def counted(tmp_path: Path, redis_client: redis.Redis) -> Iterator[Counted]:
    counted = Counted(tmp_path / "kept", redis_client)
    yield counted
    counted.store.gate.set()
    counted.kept.stop()


def digest_of(image: bytes) -> Digest:
    return Digest(hashlib.sha256(image).hexdigest())


def result(image: bytes, *, confidence: float = 0.9, state: str = "succeeded", owner: Owner = ANN) -> Result:
    cache = keys.cache(owner, MODEL, version=VERSION, digest=digest_of(image))
    entry = Entry(lane="lane", id="1-0", waiting="w", cache=cache, version=VERSION, image=image)
    return Result(entry, state, output=orjson.dumps({"confidence": confidence}) if state == "succeeded" else b"")


def model_pictures(counted: Counted, text: str) -> ModelPictures:
    return ModelPictures(MODEL, counted.kept, lambda: parse_keep_rule(text))


def test_what_the_rule_wants_is_kept_under_owner_model_and_digest(counted: Counted) -> None:
    model_pictures(counted, "below 0.5").add(
        [result(b"sure"), result(b"unsure", confidence=0.4), result(b"failed", state="failed")]
    )
    assert counted.names() == [digest_of(b"unsure")]
    [kept] = counted.store.pictures()
    assert kept.name == f"ann/a%3Ab/{digest_of(b'unsure')[:2]}/{digest_of(b'unsure')}.bin"
    assert counted.outcomes() == {"kept": 1}


def test_the_same_picture_is_kept_once_and_once_for_each_owner(counted: Counted) -> None:
    chosen = model_pictures(counted, "all")
    chosen.add([result(b"one"), result(b"one", owner=ANYONE)])
    counted.names()  # two threads that write it at the same moment both count it as kept
    chosen.add([result(b"one")])
    assert counted.names() == [digest_of(b"one")] * 2
    assert counted.outcomes() == {"kept": 2, "there": 1}


@pytest.mark.parametrize("text", ["off", "disagree"])
def test_a_rule_that_wants_none_of_them_starts_no_thread(counted: Counted, text: str) -> None:
    before = threading.active_count()
    model_pictures(counted, text).add([result(b"one")])
    assert threading.active_count() == before
    assert counted.names() == []


def test_a_disagreement_is_kept_only_where_the_rule_says_so(counted: Counted) -> None:
    model_pictures(counted, "5%").keep_disagreement(ANN, digest_of(b"no"), b"no")
    model_pictures(counted, "5%, disagree").keep_disagreement(ANN, digest_of(b"yes"), b"yes")
    assert counted.names() == [digest_of(b"yes")]


def test_a_model_without_a_tag_is_kept_as_the_setting_says(counted: Counted) -> None:
    counted.kept.usual = KeepRule(share=1.0)
    ModelPictures(MODEL, counted.kept, lambda: None).add([result(b"one")])
    assert counted.names() == [digest_of(b"one")]


def test_an_entry_of_another_kind_is_left_out(counted: Counted) -> None:
    strange = Entry(lane="lane", id="1-0", waiting="w", cache="cache:x", version=VERSION, image=b"one")
    model_pictures(counted, "all").add([Result(strange, "succeeded", output=b"{}"), result(b"two")])
    assert counted.names() == [digest_of(b"two")]


def test_a_pipelines_picture_is_not_kept_by_the_rule_of_the_model_in_whose_lane_it_waits(counted: Counted) -> None:
    alone = result(b"alone", confidence=0.1)
    piped = result(b"piped", confidence=0.1)
    piped = dataclasses.replace(piped, entry=dataclasses.replace(piped.entry, plan="{}"))
    model_pictures(counted, "below 0.5").add([piped, alone])
    assert counted.names() == [digest_of(b"alone")]


def test_no_more_wait_than_there_is_room_for_and_nobody_is_held_up(counted: Counted) -> None:
    counted.store.gate.clear()
    chosen = model_pictures(counted, "all")
    chosen.add([result(b"%03d" % number * 100) for number in range(10)])
    assert counted.outcomes() == {"no_room": 7}
    counted.store.gate.set()
    assert len(counted.names()) == 3
    chosen.add([result(b"later")])
    assert digest_of(b"later") in counted.names()


def test_a_store_that_fails_is_tried_again_and_then_counted(counted: Counted) -> None:
    counted.store.fails = 2
    model_pictures(counted, "all").add([result(b"one")])
    assert counted.names() == [digest_of(b"one")]
    counted.store.fails = 3
    model_pictures(counted, "all").add([result(b"two")])
    assert counted.names() == [digest_of(b"one")]
    assert counted.outcomes() == {"kept": 1, "failed": 1}


def test_a_picture_that_waited_through_a_purge_is_not_kept(counted: Counted, redis_client: redis.Redis) -> None:
    counted.store.gate.clear()
    model_pictures(counted, "all").add([result(b"one"), result(b"other", owner=ANYONE)])
    purge_marks.mark(redis_client, ANN)
    purge_marks.unmark(redis_client, ANN)
    counted.store.gate.set()
    assert counted.names() == [digest_of(b"other")]
    assert counted.outcomes() == {"kept": 1, "purged": 1}


def test_while_an_owner_is_purged_none_of_its_pictures_are_kept(counted: Counted, redis_client: redis.Redis) -> None:
    purge_marks.mark(redis_client, ANN)
    model_pictures(counted, "all").add([result(b"one"), result(b"other", owner=ANYONE)])
    assert counted.names() == [digest_of(b"other")]
    assert counted.outcomes() == {"kept": 1, "purged": 1}


def test_stopping_writes_what_waits(counted: Counted) -> None:
    model_pictures(counted, "all").add([result(b"%d" % number) for number in range(20)])
    counted.kept.stop()
    assert len(list(counted.store.pictures())) == 20
    model_pictures(counted, "all").add([result(b"late")])
    assert counted.outcomes() == {"kept": 20, "no_room": 1}


def test_without_an_address_nothing_is_kept(redis_client: redis.Redis) -> None:
    assert start_keeping(redis_client, CollectorRegistry()) is None
    assert read_store(redis_client) is None


def test_the_stores_settings_are_left_in_redis_for_commands(
    redis_client: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DARKROOM_KEEP_IMAGES_URL", "kept")
    monkeypatch.setenv("DARKROOM_KEEP_IMAGES_BYTES", "1000")
    kept = start_keeping(redis_client, CollectorRegistry())
    assert kept is not None
    found = read_store(redis_client)
    assert found is not None
    assert (found.url, found.bytes) == (str(tmp_path / "kept"), 1000)
    assert (tmp_path / "kept").is_dir()


@pytest.mark.parametrize(
    ("name", "value"), [("WHICH", "some"), ("URL", "/proc/nowhere"), ("AGE", "90"), ("BYTES", "0"), ("URL", "gs://b")]
)
def test_settings_that_cannot_be_used_stop_the_worker(
    name: str, value: str, redis_client: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_KEEP_IMAGES_URL", str(tmp_path))
    monkeypatch.setenv(f"DARKROOM_KEEP_IMAGES_{name}", value)
    with pytest.raises(SettingsError, match=f"DARKROOM_KEEP_IMAGES_{name}"):
        start_keeping(redis_client, CollectorRegistry())
