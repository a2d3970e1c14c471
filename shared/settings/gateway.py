"""Settings of the gateway: addresses, API keys, limits of HTTP, of images, of files and of bulk uploads."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.settings.value_types import Duration, PositiveInt, Share

PageUrl = Annotated[str, Field(pattern=r"^(https?://[^\s]+)?$")]


class Gateway(BaseSettings):
    """The gateway: the HTTP server that takes images and answers with predictions."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_", frozen=True, env_ignore_empty=True)

    public_url: str = ""
    """Address under which clients reach the gateway; URLs in answers begin with it. Empty: the address of each request.
    Set it behind a proxy that changes the host or the scheme."""
    allowed_origins: tuple[str, ...] = ()
    """Origins of web pages of other sites that may send requests and read the answers (CORS), as a JSON list:
    `["https://app.example.com"]`."""
    owner_name: str = "darkroom"
    """The `owner` part of every model's `owner/name`, which Replicate's clients expect."""
    pipelines: dict[str, Any] = {}
    """Named pipelines, as a JSON object of definitions by name: `{"both": {"models": ["a", "b"]}}`. A tag
    `darkroom.pipeline.<name>` in the registry and a served model of that name count more."""
    drain: Duration = timedelta(0)
    """How long the gateway goes on serving after SIGTERM while it reports that it is not ready. Set it to as long as
    your load balancer takes to notice; 0 suits a gateway without one."""
    spool_dir: Path | None = None
    """Folder for uploaded archives while they are read. Unset: the system's folder for temporary files; set another
    where that is in memory or small. 1 GiB of its disk, or a tenth of a smaller one, is left free: archives that would
    take more get 503."""

    @field_validator("allowed_origins")
    @classmethod
    def _as_browsers_write_them(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#@*\s]+", origin):
                raise ValueError(
                    f"{origin!r} is not an origin: write scheme, host and port only, like https://app.example.com"
                )
        return tuple(re.sub(r"^(http:.*):80$|^(https:.*):443$", r"\1\2", origin.lower()) for origin in origins)


class Server(BaseSettings):
    """Where the gateway's process listens, and how it stops."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_SERVER_", frozen=True)

    host: str = "127.0.0.1"
    """Address to listen on. On any but loopback the API asks for keys."""
    port: Annotated[int, Field(gt=0, le=65535)] = 8000
    """TCP port to listen on."""
    share_port: bool = False
    """Whether other gateways of the same user on this machine listen on the same port too (SO_REUSEPORT; Linux). The
    kernel divides new connections among them. `darkroom up` sets it where it starts several."""
    socket: Path | None = None
    """Unix socket to listen on, in place of host and port. The API asks for keys there."""
    stop_timeout: Duration = timedelta(seconds=25)
    """How long requests under way may take when the gateway stops, after `DARKROOM_DRAIN`; whole seconds."""


class Auth(BaseSettings):
    """API keys: whether callers need one."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_AUTH_", frozen=True)

    required: bool | None = None
    """Whether requests need an API key. Unset: yes, unless the gateway listens on this machine's loopback alone, the
    only place where `false` is allowed."""
    refresh: Duration = timedelta(seconds=2)
    """How often keys are read from Postgres. A revoked key stops working within this time and a moment."""


class RegistryEvents(BaseSettings):
    """MLflow's webhooks, by which a change of the registry is noticed at once (`POST /v1/registry-events`)."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_REGISTRY_EVENTS_", frozen=True)

    secret: SecretStr = SecretStr("")
    """The secret of MLflow's webhook, with which it signs. Empty: the path is not there, and workers poll alone."""


class Links(BaseSettings):
    """Pages of other programs that `GET /v1/account` names and the console links to, each an http or https address."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_LINKS_", frozen=True)

    mlflow: PageUrl = ""
    """MLflow's page, as a browser reaches it. Empty: no link. `darkroom up` sets it to the MLflow that it starts."""
    flower: PageUrl = ""
    """Flower's page. Empty: no link. `darkroom up` sets it to the Flower that it starts."""
    grafana: PageUrl = ""
    """Grafana's page. Empty: no link."""
    docs: PageUrl = ""
    """Darkroom's documents. Empty: no link."""


class Wire(BaseSettings):
    """Limits of one HTTP connection: the size of a request's head, and how slowly a client may send and read."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_WIRE_", frozen=True)

    max_head_bytes: PositiveInt = 32 * 1024
    """Bytes of a request line and its headers together; more are refused with 431."""
    max_head_fields: PositiveInt = 100
    """Headers of one request; more are refused with 431."""
    max_target_bytes: PositiveInt = 16 * 1024
    """Bytes of path and query; more are refused with 414. `metadata` of 4 KiB may stand in the query, and takes three
    times as much percent-encoded."""
    head_timeout: Duration = timedelta(seconds=10)
    """Time from a head's first byte to its last; then 408. A connection that sends nothing for that long is closed."""
    body_rate: PositiveInt = 500
    """Bytes a second that a body must bring on average; slower ones get 408 after `body_patience`."""
    body_patience: Duration = timedelta(seconds=30)
    """How long a body may be slower than `body_rate`, or bring nothing at all, before it is given up."""
    answer_patience: Duration = timedelta(seconds=60)
    """How long a client may read nothing of its answer before the connection is closed."""


class Intake(BaseSettings):
    """What is accepted: sizes of images and metadata, and how much of it one gateway reads at a time."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_INTAKE_", frozen=True)

    max_image_bytes: PositiveInt = 20 * 1024 * 1024
    """Bytes of one image file; larger ones are refused with 413."""
    max_image_pixels: PositiveInt = 50_000_000
    """Width times height of one image; larger ones are refused before anything is decoded. A worker needs 3 bytes and
    more for each pixel."""
    max_metadata_bytes: PositiveInt = 4096
    """Bytes of a prediction's or batch's `metadata` as JSON; more are refused. It is kept in Redis and in every row."""
    max_bytes_in_hand: PositiveInt = 512 * 1024**2
    """Bytes of request bodies that one gateway holds in memory at a time, at least one whole body; more get 503. Set it
    to what the process' memory limit allows. `darkroom up` divides it among the gateways that it starts."""
    max_owner_bytes_in_hand: PositiveInt = 128 * 1024**2
    """Bytes of `max_bytes_in_hand` that one owner may take in one gateway; more get 429, and a bulk upload waits.
    `darkroom up` divides it likewise."""
    file_ttl: Duration = timedelta(hours=24)
    """How long a file uploaded to `/v1/files` is kept in Redis."""


class Files(BaseSettings):
    """Quotas of uploaded files, which are kept in Redis for `DARKROOM_INTAKE_FILE_TTL`, by owner and together.

    Uploads of files are refused earlier than submissions are: files never take the room of unfinished work.
    """

    model_config = SettingsConfigDict(env_prefix="DARKROOM_FILES_", frozen=True)

    max_files: PositiveInt = 1000
    """Files of one owner at a time; more are refused with 429."""
    max_bytes: PositiveInt = 1024**3
    """Bytes of one owner's files at a time, and no more than half of what all files may take; more are refused with
    429."""
    max_bytes_a_second: PositiveInt = 20 * 1024**2
    """Bytes a second of one owner's uploads; ten seconds' worth may come at once. More are refused with 429."""
    memory_share: Share = 0.25
    """Share of Redis' `maxmemory` that all files together may take; more are refused with 503."""
    refused_from: Share = 0.6
    """Share of Redis' `maxmemory`, whatever fills it, above which files are refused with 503: the rest is for
    submissions."""


class Bulk(BaseSettings):
    """Limits of a bulk upload: what an archive may hold, and how much of it waits in Redis at a time."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_BULK_", frozen=True)

    max_archive_bytes: PositiveInt = 4 * 1024**3
    """Bytes of one uploaded archive; larger ones are refused with 413."""
    max_unpacked_bytes: PositiveInt = 8 * 1024**3
    """Bytes of all that one archive unpacks to; more are refused with 413. This and the next limits stop archives that
    are made to unpack to enormous sizes."""
    max_ratio: PositiveInt = 100
    """How many times larger an archive may become when it is unpacked; applied only beyond `ratio_from_bytes`."""
    ratio_from_bytes: PositiveInt = 64 * 1024**2
    """Unpacked bytes from which `max_ratio` is applied: small archives of very uniform images are harmless."""
    max_entries: PositiveInt = 200_000
    """Entries of one archive, folders and system clutter included; more are refused with 413."""
    max_items: PositiveInt = 200_000
    """Images of one batch, in whatever form they are sent; files that can't be read count too. An upload with
    more ends with 413."""
    max_lane_depth: PositiveInt = 50_000
    """Images of one upload that wait in Redis at a time. Reading the upload pauses until there is room."""
    max_lane_bytes: PositiveInt = 1024**3
    """Bytes of one upload's images that wait in Redis at a time. Reading the upload pauses likewise."""
    memory_share: Share = 0.6
    """Share of Redis' `maxmemory` at which reading of uploads pauses: the rest is for single images, for which people
    wait."""
    patience: Duration = timedelta(seconds=60)
    """How long an upload waits for a Redis that does not answer before it fails."""
    lease: Duration = timedelta(seconds=30)
    """An upload whose gateway did not renew it for this long is canceled: the gateway is gone."""
