"""The Lua scripts: atomic, each safe to run twice. `put` in common.lua is the only place that ends a job."""

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
    "FILES": keys.FILES,
    "FILE_OF": keys.file_prefix(),
    "FILE_BYTES": keys.FILE_BYTES,
    "NOTHING": keys.NOTHING,
}


class Script(StrEnum):
    """Every script by its file's name."""

    SUBMIT = "submit"
    TAKE = "take"
    LOOK_AT_LIMITS = "look_at_limits"
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
    CANCEL = "cancel"
    SUSPECTS = "suspects"
    RECLAIM = "reclaim"
    RENEW = "renew"
    ANSWER = "answer"
    RING = "ring"
    ROTATE = "rotate"
    SETTLE = "settle"
    FORGET = "forget"
    EXPEL = "expel"
    PUBLISH = "publish"
    GIVE_UP = "give_up"
    SIGN = "sign"
    EVICT = "evict"
    LOOK_AT_DUTIES = "look_at_duties"
    LOOK_AT_JOBS = "look_at_jobs"
    LOOK_AT_LANE = "look_at_lane"
    LOOK_AT_LANES = "look_at_lanes"
    LOOK_AT_WAIT_LISTS = "look_at_wait_lists"
    FIND_STRANDED = "find_stranded"


@cache
def source(script: Script) -> str:
    """Return the script with the key names and the common words before it."""
    folder = resources.files("shared.queue") / "scripts"
    names = "".join(f"local {name} = '{value}'\n" for name, value in _NAMES.items())
    return names + (folder / "common.lua").read_text() + (folder / f"{script}.lua").read_text()


@cache
def sha(script: Script) -> str:
    """Return the digest that EVALSHA knows the script by."""
    return hashlib.sha1(source(script).encode(), usedforsecurity=False).hexdigest()


class Scripts:
    """The scripts on one blocking client; a script that Redis forgot is loaded again by the client library."""

    def __init__(self, client: redis.Redis) -> None:
        self._registered: dict[Script, RegisteredScript] = {
            script: client.register_script(source(script)) for script in Script
        }

    def run(self, script: Script, keys: tuple[str, ...], *arguments: Any) -> Any:
        """Run one script and return its reply."""
        return self._registered[script](keys=keys, args=arguments)
