"""A real S3 server for tests: SeaweedFS, as docker-compose.yml runs it for models."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.deferred_imports import deferred
from tests.support.ports import free_port
from tests.support.waiting import until

boto3 = deferred("boto3")
botocore_exceptions = deferred("botocore.exceptions")

ACCESS_KEY, SECRET_KEY = "tests", "not-a-secret"


@dataclass(frozen=True)
class S3Server:
    """Where it listens, its one bucket, and the login to it."""

    endpoint: str
    bucket: str = "pictures"
    environment: dict[str, str] = field(
        default_factory=lambda: {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": "us-east-1",
        }
    )


@contextmanager
def started_s3_server(folder: Path) -> Iterator[S3Server]:
    """Start a server that keeps its files in the folder; make its bucket."""
    config = folder / "s3.json"
    credentials = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
    identity = {"name": "tests", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List"]}
    config.write_text(json.dumps({"identities": [identity]}))
    ports = [free_port() for _ in range(8)]
    s3, master, volume, filer, *grpc = ports
    arguments = [
        *("server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", f"-s3.port={s3}"),
        *(f"-s3.config={config}", "-s3.port.iceberg=0", "-s3.port.lance=0", f"-master.port={master}"),
        *(f"-volume.port={volume}", f"-filer.port={filer}", "-volume.max=0", "-volume.preStopSeconds=0"),
        *("-master.volumeSizeLimitMB=64", "-master.telemetry=false"),
        *(f"-{part}.port.grpc={port}" for part, port in zip(("s3", "master", "volume", "filer"), grpc, strict=True)),
    ]
    program = Path(sys.executable).with_name("weed")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "-logtostderr=true", *arguments], stdout=log, stderr=log, cwd=folder)
    server = S3Server(f"http://127.0.0.1:{s3}")
    client = boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1",
    )

    def is_ready() -> bool:
        try:
            client.create_bucket(Bucket=server.bucket)
            client.put_object(Bucket=server.bucket, Key="ready", Body=b"1")
        except (botocore_exceptions.BotoCoreError, botocore_exceptions.ClientError):
            return process.poll() is not None
        return True

    try:
        until(is_ready, what="the S3 server", pause=0.2)
        assert process.poll() is None, (folder / "log").read_text()[-3000:]
        yield server
    finally:
        client.close()
        process.kill()  # told to stop, it takes 15 s
        process.wait()
        # It does not remove the sockets that it makes for programs beside it, which it is told no other folder for.
        for port in ports:
            for socket in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108
                socket.unlink(missing_ok=True)
