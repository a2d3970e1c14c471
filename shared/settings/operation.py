"""Settings of operation: logs, metrics, traces, and the `darkroom` command on one machine."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.settings.value_types import Duration, PositiveInt


class Logging(BaseSettings):
    """Log lines: level, form, and which requests and predictions get a line."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_LOG_", frozen=True)

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The lowest level that is written."""
    format: Literal["json", "text"] = "json"
    """`json`: one object a line, for machines; `text`: readable in a terminal."""
    file: str = ""
    """The file that the process was started with as its standard output and error, which `darkroom up` sets. From
    20 MiB on it is renamed to `<name>.1`, in place of the one before, of which `<name>.own` keeps the lines that are
    not the model's. Empty: whoever started the process bounds it."""
    requests: Literal["none", "errors", "all"] = "errors"
    """Requests about which the gateway writes a line; `errors` are those that it answered with 5xx."""
    predictions: str = ""
    """Where the record worker writes a JSON line about each prediction: a file of its own, or `-` for standard output.
    Empty: nowhere."""
    predictions_max_bytes: PositiveInt = 100 * 1024**2
    """Size in bytes at which that file is renamed to `<name>.1`, in place of the one before."""


class Metrics(BaseSettings):
    """Where a process serves its metrics without a key; the gateway also does at its own `/metrics`, for admin keys."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_METRICS_", frozen=True)

    host: str = "127.0.0.1"
    """Address that is listened on; `0.0.0.0` for a Prometheus on another machine."""
    port: Annotated[int, Field(gt=0, le=65535)] | None = None
    """Port that is listened on, a different one for each process of a machine. Unset: none."""


class Tracing(BaseSettings):
    """Spans for OpenTelemetry, sent by OTLP over HTTP. Needs `darkroom[otel]`.

    Where to, what as, and how many of them is read by OpenTelemetry's SDK from its own variables:
    `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`,
    `OTEL_TRACES_SAMPLER`, `OTEL_BSP_…`. An empty variable counts as unset.
    """

    model_config = SettingsConfigDict(env_prefix="DARKROOM_TRACING_", frozen=True, env_ignore_empty=True)

    enabled: bool = False
    """Make spans and send them. Off, a request's `traceparent` is still carried to its webhooks and log lines."""


class Local(BaseSettings):
    """The `darkroom` command and the stack that it runs on one machine."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_", frozen=True)

    home: Path = Path(".darkroom")
    """Folder of the stack: databases, models, logs, sockets."""
    url: str = ""
    """Gateway that `submit` and `demo` talk to. Empty: the one that runs in `home`."""
    api_key: str = ""
    """API key that the command sends. Empty: none."""
    local_gateways: PositiveInt | None = None
    """How many gateways `up` starts, all on one port (more than one on Linux only). Unset: one per four cores, at least
    one and at most four, since Redis is busy all the time before four are."""
    local_predict_workers: PositiveInt | None = None
    """How many predict workers `up` starts where it finds no GPU; with GPUs it is one each. Unset: one a core. Each
    loads every model, which takes memory; fewer leave cores to other programs."""
    local_appendfsync: Literal["always", "everysec"] = "always"
    """When the embedded Redis forces a prediction to disk: before its 202 (`always`), or once a second (`everysec`),
    which is faster and may lose the last second in a power cut."""
    local_start_timeout: Duration = timedelta(minutes=5)
    """How long `up` waits until everything is ready, the demo model's training included."""
