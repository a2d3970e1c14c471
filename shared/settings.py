"""The one reader of the environment: small frozen classes, one a concern.

Each part of Darkroom is handed its slice. An invalid setting stops the boot with one clear line.
"""

import os
import re
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableSetting

PositiveInt = Annotated[int, Field(gt=0)]


def _as_duration(value: object) -> object:
    """Take `10`, `0.5` and `10s` as seconds; longer forms (`PT5M`, `00:05:00`) are pydantic's."""
    if isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?s?", value.strip(), re.ASCII):
        return float(value.strip().rstrip("s"))
    return value


Duration = Annotated[timedelta, BeforeValidator(_as_duration)]


def _a_day_or_more(time: timedelta) -> timedelta:
    if time < timedelta(days=1):
        raise ValueError("must be a day or more")
    return time


LongDuration = Annotated[Duration, AfterValidator(_a_day_or_more)]


class SettingsError(SystemExit):
    """A setting can't be used; the message is the one line people see."""


class Redis(BaseSettings):
    """Where unfinished work is kept. The Celery broker is the same server: scripts ring its queues."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_REDIS_", frozen=True)

    url: Annotated[str, Field(pattern="^(rediss?|unix)://")] = "redis://127.0.0.1:6379/0"
    timeout: Duration = timedelta(seconds=5)
    """A command without an answer for this long counts as failed."""
    memory_share: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Admission ends at this share of `maxmemory`."""
    cache_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Above this share of `maxmemory` cached outputs and recorded predictions are dropped, the oldest first."""


class Database(BaseSettings):
    """Where finished work is kept."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_DATABASE_", frozen=True)

    url: str = "postgresql://127.0.0.1:5432/darkroom"
    """Whatever libpq takes; docs/guides/operate/postgres.md has examples: several hosts, `options`, TLS."""
    pool_size: PositiveInt = 4
    """Connections of a process; of a gateway, asks at a time: it has half as many more for results, and two of its own.
    """
    timeout: Duration = timedelta(seconds=5)
    """To connect, and for a statement of the gateway's."""
    patience: Duration = timedelta(seconds=60)
    """How long a server may say nothing to a worker or a command; then the connection is given up. Of a gateway that is
    `timeout` and a second."""


class Gateway(BaseSettings):
    """The HTTP door."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_", frozen=True)

    public_url: str = ""
    """Where people reach the gateway; URLs in answers begin with it. Empty: as the request came in."""
    allowed_origins: tuple[str, ...] = ()
    """Web pages of other sites that may send requests and read the answers, as a JSON list of origins:
    `["https://app.example.com"]`."""
    owner_name: str = "darkroom"
    """The `owner` of every model in the `owner/name` form."""
    drain: Duration = timedelta(0)
    """How long it serves on after SIGTERM, not ready any more: as long as a balancer takes to notice."""
    spool_dir: Path | None = None
    """Where an uploaded archive lies while it is read; none: the system's folder for temporary files."""

    @field_validator("allowed_origins")
    @classmethod
    def _as_browsers_write_them(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#@*\s]+", origin):
                raise ValueError(f"{origin!r} is no origin: a scheme, a host and a port alone, https://app.example.com")
        return tuple(re.sub(r"^(http:.*):80$|^(https:.*):443$", r"\1\2", origin.lower()) for origin in origins)


class Auth(BaseSettings):
    """Who may call the gateway."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_AUTH_", frozen=True)

    required: bool | None = None
    """Whether calls need an API key; none: everywhere but on this machine's loopback, the only place that may go
    without."""
    refresh: Duration = timedelta(seconds=2)
    """How often keys are read from Postgres: a revoked one stops within this and a moment."""


class Wire(BaseSettings):
    """What a client may take of the gateway beside its image: bytes of a request's head, and time."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_WIRE_", frozen=True)

    max_head_bytes: PositiveInt = 32 * 1024
    max_head_fields: PositiveInt = 100
    max_target_bytes: PositiveInt = 16 * 1024
    """Path and query: `metadata` of 4 KB may stand there, and takes three times as much percent-encoded."""
    head_timeout: Duration = timedelta(seconds=10)
    """From a head's first byte to its last; and from the connection to the first byte."""
    body_rate: PositiveInt = 500
    """Bytes a second."""
    body_patience: Duration = timedelta(seconds=30)
    """A body that is slower than its rate for this long is given up; one that stands still as well."""
    answer_patience: Duration = timedelta(seconds=60)
    """So is a client that takes nothing of its answer."""


class Intake(BaseSettings):
    """What is accepted."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_INTAKE_", frozen=True)

    max_image_bytes: PositiveInt = 20 * 1024 * 1024
    max_image_pixels: PositiveInt = 50_000_000
    max_metadata_bytes: PositiveInt = 4096
    max_bytes_in_hand: PositiveInt = 512 * 1024**2
    """Bytes of bodies that one gateway has in memory at a time, and never less than one body; more get 503."""
    max_owner_bytes_in_hand: PositiveInt = 128 * 1024**2
    """Of those one owner's, likewise; more get 429. A bulk upload waits instead."""
    file_ttl: Duration = timedelta(hours=24)


class Files(BaseSettings):
    """Uploaded files, which lie in Redis for `DARKROOM_INTAKE_FILE_TTL`: how much one owner may have there, and all.

    Files end before other work does: a submission's place in Redis is never taken by them.
    """

    model_config = SettingsConfigDict(env_prefix="DARKROOM_FILES_", frozen=True)

    max_files: PositiveInt = 1000
    """Of one owner at a time; more are refused with 429."""
    max_bytes: PositiveInt = 1024**3
    """Of one owner at a time, and no more than half of all that files may take; more are refused with 429."""
    max_bytes_a_second: PositiveInt = 20 * 1024**2
    """Of one owner's uploads; ten seconds' worth may come at once. More are refused with 429."""
    memory_share: Annotated[float, Field(gt=0, le=1)] = 0.25
    """All files together take this share of Redis' `maxmemory`; more are refused with 503."""
    refused_from: Annotated[float, Field(gt=0, le=1)] = 0.6
    """Uploads are refused above this share of `maxmemory`, whatever fills it: the rest is for submissions."""


class Bulk(BaseSettings):
    """What a bulk upload may hold, and how it waits."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_BULK_", frozen=True)

    max_archive_bytes: PositiveInt = 4 * 1024**3
    max_unpacked_bytes: PositiveInt = 8 * 1024**3
    max_ratio: PositiveInt = 100
    """Times an archive may grow when it is unpacked; asked only of what grows beyond `ratio_from_bytes`."""
    ratio_from_bytes: PositiveInt = 64 * 1024**2
    max_entries: PositiveInt = 200_000
    """Entries of one archive, clutter and folders included."""
    max_items: PositiveInt = 200_000
    """Images of one batch, in whatever form they come; what can't be read counts too."""
    max_lane_depth: PositiveInt = 50_000
    """Images of one upload that wait at a time; reading pauses until there is room."""
    max_lane_bytes: PositiveInt = 1024**3
    """Bytes of one upload that wait at a time, likewise."""
    memory_share: Annotated[float, Field(gt=0, le=1)] = 0.6
    """Reading pauses at this share of Redis' `maxmemory`, and leaves the rest to people who wait."""
    patience: Duration = timedelta(seconds=60)
    """How long an upload waits for a Redis that does not answer."""
    lease: Duration = timedelta(seconds=30)
    """An upload whose gateway gave no sign of life for this long is canceled."""


class Queue(BaseSettings):
    """How work waits and how long what is kept in Redis lives."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_QUEUE_", frozen=True)

    max_lane_depth: PositiveInt = 250_000
    """Entries waiting in one lane; more are refused with 503."""
    max_lane_bytes: PositiveInt = 2 * 1024**3
    """Bytes that wait in one lane, as Redis keeps them; more are refused with 503."""
    max_waiters: Annotated[int, Field(gt=0, le=5000)] = 500
    """Jobs that share one computation; the next one starts another."""
    lease: Duration = timedelta(seconds=10)
    """An entry whose worker did not renew it for this long is claimed by another."""
    max_attempts: PositiveInt = 3
    cache_ttl: Duration = timedelta(hours=24)
    recorded_ttl: Duration = timedelta(hours=1)
    """How long a recorded prediction is still answered from Redis."""
    idempotency_ttl: Duration = timedelta(hours=24)
    model_patience: Duration = timedelta(minutes=10)
    """How long no worker may serve a model before what has waited for it as long fails with `model_unavailable`, and
    the model's name is no longer one that can be submitted to."""


class Batching(BaseSettings):
    """How micro-batches form."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_BATCHING_", frozen=True)

    max_batch_size: PositiveInt = 64
    max_wait: Duration = timedelta(0)
    """How long a batch that is not full waits for more."""
    beside_people: Duration = timedelta(milliseconds=2)
    """How long bulk images may take that are computed beside a person's, or between one person's and the next."""


class Predict(BaseSettings):
    """The predict worker."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_PREDICT_", frozen=True)

    device: str = "auto"
    """`auto` takes the first GPU, else the CPU; or cpu, cuda, cuda:1."""
    torch_threads: PositiveInt = 1
    """Threads of one forward pass; on CPU one process a core does better than many threads."""
    timeout: Duration = timedelta(seconds=120)
    """A batch stuck for longer ends its process."""
    tick: Duration = timedelta(seconds=2)
    """How often lanes are looked at without a bell."""
    turn: Duration = timedelta(milliseconds=50)
    """How long a bell's answer may go on before Celery, and with it another model's bell, gets a look in."""
    decode_timeout: Duration = timedelta(seconds=2)
    """CPU time that decoding one image may take; one that takes longer fails, alone."""
    loaded_versions: PositiveInt = 4
    """Versions kept in memory, the least recently used leaves first."""


class Registry(BaseSettings):
    """The MLflow registry that says what serves."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_REGISTRY_", frozen=True)

    url: str = "http://127.0.0.1:5000"
    poll: Duration = timedelta(seconds=5)
    """How soon a promoted model is noticed."""

    def client_environment(self) -> dict[str, str]:
        """Return what MLflow's client reads from the environment: bounded waits, no bars, no telemetry.

        As the library comes, a registry that is down holds a call for four minutes.
        """
        return {
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
            "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
            "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        }


class RegistryLogin(BaseSettings):
    """The login that the registry asks for, under the names by which MLflow's own client reads it."""

    model_config = SettingsConfigDict(env_prefix="MLFLOW_TRACKING_", frozen=True)

    username: str = ""
    password: SecretStr = SecretStr("")


class Recording(BaseSettings):
    """From the finished stream to Postgres."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_RECORDING_", frozen=True)

    max_rows: PositiveInt = 1000
    linger: Duration = timedelta(milliseconds=100)
    """Results gather this long for one commit: clients are answered from Redis meanwhile.

    At 3,500 results a second, recorder and Postgres spend 0.045 ms of CPU on each; with half as long it is 0.055.
    """
    lease: Duration = timedelta(seconds=10)


class Beat(BaseSettings):
    """What rings the sweeps."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_BEAT_", frozen=True)

    file: Path | None = None
    """Touched with each ring, every 2 s, for who has to tell whether beat is well; none: nothing is."""


class Retention(BaseSettings):
    """How long what has ended is kept in Postgres; files and the cache are `Intake`'s and `Queue`'s.

    An empty variable is an unset one: docker-compose.yml hands on what `.env` may leave out.
    """

    model_config = SettingsConfigDict(env_prefix="DARKROOM_RETENTION_", frozen=True, env_ignore_empty=True)

    predictions: LongDuration | None = None
    """Predictions and batches, from their end on; none: for ever."""
    deliveries: LongDuration = timedelta(days=30)
    """Webhook deliveries that have come to an end, with their attempts."""


class Webhooks(BaseSettings):
    """Telling people's servers."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_WEBHOOKS_", frozen=True)

    allowed_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Networks that are called though they are not public, as a JSON list: `["10.0.0.0/8"]`."""
    timeout: Duration = timedelta(seconds=15)
    """For one attempt, from the name's lookup to the answer."""
    max_response_bytes: PositiveInt = 64 * 1024
    """So much of an answer is read at most, and kept where the attempt failed."""
    pauses: tuple[Duration, ...] = (
        timedelta(seconds=5),
        timedelta(seconds=30),
        timedelta(minutes=2),
        timedelta(minutes=10),
        timedelta(hours=1),
        timedelta(hours=3),
        timedelta(hours=8),
        timedelta(hours=12),
    )
    """After the first failed attempt, the second, …, as a JSON list; after the last there is one more attempt."""
    lease: Duration = timedelta(seconds=60)
    """A delivery whose worker did not log its attempt for this long is another's; longer than `timeout`."""

    @field_validator("lease")
    @classmethod
    def _longer_than_an_attempt(cls, lease: timedelta, others: ValidationInfo) -> timedelta:
        if lease <= others.data.get("timeout", timedelta(0)):
            raise ValueError("must be longer than DARKROOM_WEBHOOKS_TIMEOUT")
        return lease

    at_once: PositiveInt = 1000
    """Attempts of one worker at a time."""
    at_once_each: PositiveInt = 16
    """Attempts of one worker at a time for one owner at one destination: scheme, host and port."""
    breaker_failing: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Where so large a part of the latest 20 attempts failed, a destination is left alone for a while, by its owner."""
    breaker_attempts: Annotated[int, Field(gt=0, le=20)] = 10
    """So many attempts are made at least before that is judged."""
    breaker_rest: Duration = timedelta(seconds=1)
    """How long at first, or twice what a failure took if that is longer; then half as long again, up to 10 minutes."""
    secret_overlap: Duration = timedelta(hours=24)
    """How long the old secret signs too, after a rotation; then the record worker deletes it."""


class Logging(BaseSettings):
    """What is logged and how it looks."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_LOG_", frozen=True)

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["json", "text"] = "json"
    requests: Literal["none", "errors", "all"] = "errors"
    """Which requests the gateway writes a line about; errors are its own, 5xx."""
    predictions: str = ""
    """Where the record worker writes a JSON line about each prediction: a file of its own, `-` for standard output."""
    predictions_max_bytes: PositiveInt = 100 * 1024**2
    """A file that has grown so large is put aside as `<name>.1`, in place of the one before."""


class Metrics(BaseSettings):
    """Where a process serves its metrics; the gateway does at its own `/metrics` too, for a key of the role admin."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_METRICS_", frozen=True)

    host: str = "127.0.0.1"
    port: Annotated[int, Field(gt=0, le=65535)] | None = None
    """None: nowhere."""


class Local(BaseSettings):
    """The `darkroom` command on one machine."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_", frozen=True)

    home: Path = Path(".darkroom")
    url: str = ""
    """The gateway that `submit` and `demo` talk to; empty: the one that runs on `home`."""
    api_key: str = ""
    local_appendfsync: Literal["always", "everysec"] = "always"
    """When the embedded Redis forces a job to disk: before its 202, or once a second."""
    local_start_timeout: Duration = timedelta(minutes=5)
    """How long `up` waits until everything is ready, the demo model's training included."""


S = TypeVar("S", bound=BaseSettings)


def read(settings: type[S]) -> S:
    """Read one class from the environment; raises SettingsError with one line that names the variable."""
    try:
        return settings()
    except ValidationError as error:
        first = error.errors()[0]
        variable = f"{settings.model_config.get('env_prefix', '')}{first['loc'][0]}".upper()
        # A URL may hold a password.
        shown = "" if variable.endswith("_URL") else f" (it is {first['input']!r})"
        raise SettingsError(f"{variable}: {first['msg']}{shown}") from None
    except UnreadableSetting as error:
        # It names the field and no more.
        field = re.search(r'field "(\w+)"', str(error))
        variable = f"{settings.model_config.get('env_prefix', '')}{field[1] if field else ''}".upper()
        raise SettingsError(f"{variable}: it must be JSON (it is {os.environ.get(variable)!r})") from None
