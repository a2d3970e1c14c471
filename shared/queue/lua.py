"""Loads and runs the Lua scripts: atomic, each safe to run twice. Only `put` in common.lua ends a job."""

import hashlib
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any

import redis
from redis.commands.core import Script as RegisteredScript

from shared.queue import keys

_NAMES = {
    "JOB": keys.job_prefix(),
    "INFLIGHT": keys.inflight_prefix(),
    "BATCH": keys.batch_prefix(),
    "BATCHES": keys.batches_prefix(),
    "UPLOADS": keys.UPLOADS,
    "DEADLINES": keys.DEADLINES,
    "FINISHED": keys.FINISHED,
    "DONE": keys.DONE,
    "WORKERS": keys.WORKERS,
    "BELLS": keys.BELLS,
    "RECORD_BELL": keys.RECORD_BELL,
    "RECORD_QUEUE": keys.RECORD_QUEUE,
    "STARTED": keys.STARTED,
    "WEBHOOK_BELL": keys.WEBHOOK_BELL,
    "WEBHOOK_QUEUE": keys.WEBHOOK_QUEUE,
    "IDEMPOTENCY_KEYS": keys.IDEMPOTENCY_KEYS,
    "IMAGE": keys.image_prefix(),
    "IMAGE_BYTES": keys.IMAGE_BYTES,
    "FAILED_IMAGE": keys.failed_image_prefix(),
    "FAILED_IMAGES": keys.FAILED_IMAGES,
    "FAILED_IMAGES_OF": keys.failed_images_prefix(),
    "FAILED_BYTES": keys.FAILED_BYTES,
    "FAILED_BYTES_BY_OWNER": keys.FAILED_BYTES_BY_OWNER,
    "STAGED": keys.staged_prefix(),
    "FILES": keys.FILES,
    "FILE_OF": keys.file_prefix(),
    "FILE_BYTES": keys.FILE_BYTES,
    "CACHE": keys.cache_prefix(),
    "PURGING": keys.PURGING,
    "PURGED": keys.PURGED,
    "NOTHING": keys.NOTHING,
}


class Script(StrEnum):
    """Every script, by its file's name in `scripts/`."""

    SUBMIT = "submit"
    TAKE = "take"
    READ_LIMITS = "read_limits"
    READ_HASHES = "read_hashes"
    KEEP_FILE = "keep_file"
    REMOVE_FILE = "remove_file"
    OPEN_BATCH = "open_batch"
    TEND_BATCH = "tend_batch"
    CLOSE_BATCH = "close_batch"
    CANCEL_BATCH = "cancel_batch"
    CANCEL_LANE = "cancel_lane"
    SETTLE_BATCHES = "settle_batches"
    BEGIN = "begin"
    FINISH = "finish"
    TAKE_SHADOW = "take_shadow"
    FINISH_SHADOW = "finish_shadow"
    DROP_SHADOWS = "drop_shadows"
    CANCEL = "cancel"
    SUSPECTS = "suspects"
    RECLAIM = "reclaim"
    RENEW = "renew"
    HAND_BACK = "hand_back"
    ANSWER = "answer"
    RING = "ring"
    ROTATE = "rotate"
    SETTLE = "settle"
    FORGET = "forget"
    DROP_FAILED = "drop_failed"
    EXPEL = "expel"
    PUBLISH = "publish"
    ANSWER_BY_ROUTES = "answer_by_routes"
    WITHDRAW = "withdraw"
    GIVE_UP = "give_up"
    SIGN = "sign"
    PLACE_ORDER = "place_order"
    END_TURN = "end_turn"
    TAKE_LOADING_TURN = "take_loading_turn"
    JUDGE_CHAMPION = "judge_champion"
    NOTE_PREPARED = "note_prepared"
    EVICT = "evict"
    READ_DUTIES = "read_duties"
    CHECK_JOBS = "check_jobs"
    CHECK_IMAGES = "check_images"
    CHECK_LANE = "check_lane"
    MEASURE_LANES = "measure_lanes"
    CHECK_WAIT_LISTS = "check_wait_lists"
    FIND_STRANDED = "find_stranded"
    FIND_WAITING = "find_waiting"
    PUBLISH_FIGURES = "publish_figures"
    READ_FIGURES = "read_figures"
    KEEP_SAMPLE = "keep_sample"


@cache
def source(script: Script) -> str:
    """Return a script's text, after the key names and common.lua."""
    folder = resources.files("shared.queue") / "scripts"
    names = "".join(f"local {name} = '{value}'\n" for name, value in _NAMES.items())
    common, own = (folder / name for name in ("common.lua", f"{script}.lua"))
    return names + common.read_text(encoding="utf-8") + own.read_text(encoding="utf-8")


@cache
def sha(script: Script) -> str:
    """Return the SHA-1 by which EVALSHA calls the script."""
    return hashlib.sha1(source(script).encode(), usedforsecurity=False).hexdigest()


class Scripts:
    """The scripts on one blocking client, which loads a script again when Redis has forgotten it."""

    def __init__(self, client: redis.Redis) -> None:
        self._registered: dict[Script, RegisteredScript] = {
            script: client.register_script(source(script)) for script in Script
        }

    def run(self, script: Script, keys: tuple[str, ...], *arguments: Any) -> Any:
        """Run one script and return its reply."""
        return self._registered[script](keys=keys, args=arguments)
