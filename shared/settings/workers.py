"""Settings of the workers but for webhooks: predicting, the MLflow registry, recording, beat, retention."""

from datetime import timedelta
from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.settings.value_types import Duration, LongDuration, PositiveInt


class Predict(BaseSettings):
    """The predict worker: device, threads, time limits."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_PREDICT_", frozen=True, env_ignore_empty=True)

    device: str = "auto"
    """Where models run: `cpu`, `cuda`, `cuda:1`; `auto` takes the first GPU, else the CPU."""
    torch_threads: PositiveInt = 1
    """Threads of one forward pass on CPU. One process a core computes more images than many threads do."""
    timeout: Duration = timedelta(seconds=120)
    """A micro-batch that computes for longer ends its process, and another worker takes over. Longer than the slowest
    pass of your models."""
    tick: Duration = timedelta(seconds=2)
    """How often a worker checks its lanes without having been called by a bell."""
    turn: Duration = timedelta(milliseconds=50)
    """How long a worker goes on with one bell's model before it takes the next bell, which may be another model's."""
    decode_timeout: Duration = timedelta(seconds=2)
    """CPU time that decoding one image may take. An image that takes longer fails; the others of its micro-batch do
    not."""
    loaded_versions: PositiveInt = 4
    """Versions of one model kept in memory, those that serve in any case; the least recently used is dropped first."""
    load_timeout: Duration = timedelta(minutes=10)
    """How long a version may take to be loaded, its download and warm-up included. Then its process ends and is started
    again; a version that ends three is not tried any more, and the others of the process are loaded."""
    native_code: bool = False
    """Whether AOTInductor packages are loaded: shared libraries that whoever registers a version has compiled. Other
    formats that run a version's code (pickles, `python_function`) are loaded in any case."""
    memory: PositiveInt | None = None
    """Bytes that the loaded versions of all models of one process may take; on a GPU, of its memory. Over it the least
    recently used version is unloaded, and loaded again when an image needs it. Unset: half of the machine's memory (a
    container's limit, where it has one) divided by its cores; 80% of a GPU's."""


class Registry(BaseSettings):
    """The MLflow registry, whose aliases say which versions serve."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_REGISTRY_", frozen=True, env_ignore_empty=True)

    url: str = "http://127.0.0.1:5000"
    """MLflow's tracking URI."""
    poll: Duration = timedelta(seconds=2)
    """How often workers read the registry: how soon a promoted model is noticed."""
    pins: dict[str, str] = {}
    """Champions whatever the registry's alias says, as a JSON object by model: a version's number, or
    what was logged, `runs:/<id>/<path>` or `models:/m-<id>`, which is registered where it is not yet. The same for all
    workers of a model."""

    def client_environment(self) -> dict[str, str]:
        """Return the variables that MLflow's client reads: bounded waits, no progress bars, no telemetry.

        With MLflow's defaults a registry that is down holds a call for four minutes.
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
    """Login to the registry, under the names that MLflow's own client reads."""

    model_config = SettingsConfigDict(env_prefix="MLFLOW_TRACKING_", frozen=True)

    username: str = ""
    """Name of the user; empty: the registry asks for none."""
    password: SecretStr = SecretStr("")
    """Password of that user."""


class Recording(BaseSettings):
    """The record worker, which writes finished predictions from Redis to Postgres."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_RECORDING_", frozen=True)

    max_rows: PositiveInt = 1000
    """Predictions written in one commit at most."""
    linger: Duration = timedelta(milliseconds=100)
    """How long results are gathered for one commit; clients are answered from Redis meanwhile.

    At 3,500 results a second, recorder and Postgres spend 0.045 ms of CPU on each; with half as long it is 0.055.
    """
    lease: Duration = timedelta(seconds=10)
    """Results whose record worker did not commit them for this long are taken over by another."""


class Beat(BaseSettings):
    """Celery beat, which calls the periodic tasks: sweeps, purges, due webhooks."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_BEAT_", frozen=True)

    file: Path | None = None
    """File that beat touches at each call, every 2 s, for a health check to read. Unset: none."""


class Retention(BaseSettings):
    """How long finished things are kept in Postgres; what is kept in Redis is under `Intake` and `Queue`.

    An empty variable counts as unset, since docker-compose.yml passes on variables that `.env` may leave out.
    """

    model_config = SettingsConfigDict(env_prefix="DARKROOM_RETENTION_", frozen=True, env_ignore_empty=True)

    predictions: LongDuration | None = None
    """How long predictions and batches are kept after their end (`P90D`), a day or more. Unset: for ever."""
    deliveries: LongDuration = timedelta(days=30)
    """How long webhook deliveries that were delivered or given up are kept, with their attempts; a day or more."""
