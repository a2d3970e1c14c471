"""Kept pictures in an S3 bucket, or in a store that speaks its protocol, through boto3: imported where one is set.

A put is atomic. boto3 finds the login where it always does: environment, profile, or the machine's role.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final

from shared.pictures.names import read_name
from shared.pictures.picture_store import Kept, StoreError

AT_ONCE: Final = 1000
"""Names that one request deletes at most, as S3 allows."""
CONNECT_SECONDS: Final = 3
READ_SECONDS: Final = 10
ATTEMPTS: Final = 3
_THERE: Final = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
_MISSING: Final = ("NoSuchKey", "404")


class S3Store:
    """A bucket's objects below a prefix; those that have other names are left alone."""

    def __init__(self, bucket: str, prefix: str, *, endpoint: str, encryption: str, key: str) -> None:
        """`prefix` is empty or ends with `/`; `encryption` is S3's ServerSideEncryption, `key` the id of a KMS key.

        Raises ModuleNotFoundError where boto3 is not installed.
        """
        import boto3  # noqa: PLC0415  0.3 s and 34 MB, which only those need who keep pictures in a bucket
        from botocore.config import Config  # noqa: PLC0415

        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"mode": "standard", "max_attempts": ATTEMPTS},
            # Stores that are not Amazon's often know no other checksums.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        self._client: Any = boto3.client("s3", endpoint_url=endpoint or None, config=config)
        self._bucket = bucket
        self._prefix = prefix
        self._options: dict[str, str] = {}
        if encryption:
            self._options["ServerSideEncryption"] = encryption
        if key:
            self._options["SSEKMSKeyId"] = key

    def make(self) -> None:
        """Do nothing: a bucket is its owner's to make."""

    def keep(self, name: str, image: bytes) -> bool:
        """Write a picture whole or not at all; return False, changing nothing, where it is there already."""
        with _told():
            try:
                self._client.put_object(
                    Bucket=self._bucket, Key=self._prefix + name, Body=image, IfNoneMatch="*", **self._options
                )
            except Exception as error:
                if _code(error) in _THERE:
                    return False
                raise
        return True

    def pictures(self, prefix: str = "") -> Iterator[Kept]:
        """Yield the pictures whose names begin with a prefix, which ends with `/` or is empty."""
        with _told():
            for page in self._pages(prefix):
                for one in page.get("Contents", ()):
                    name = one["Key"].removeprefix(self._prefix)
                    if read_name(name):
                        yield Kept(name, int(one["Size"]), one["LastModified"].timestamp())

    def owners(self) -> Iterator[str]:
        """Yield the first part of all names, each once."""
        with _told():
            for page in self._pages("", Delimiter="/"):
                for one in page.get("CommonPrefixes", ()):
                    yield one["Prefix"].removeprefix(self._prefix).rstrip("/")

    def read(self, name: str) -> bytes | None:
        """Return a picture; None where there is none of this name."""
        with _told():
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
                image: bytes = answer["Body"].read()
            except Exception as error:
                if _code(error) in _MISSING:
                    return None
                raise
        return image

    def delete(self, names: Iterable[str]) -> None:
        """Delete pictures; some of them may be gone already."""
        left = iter(names)
        with _told():
            while some := list(islice(left, AT_ONCE)):
                objects = [{"Key": self._prefix + name} for name in some]
                answer = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True})
                for refused in answer.get("Errors", ()):
                    raise StoreError(f"{refused.get('Code')}: {refused.get('Key')} is not deleted")

    def clean(self, *, before: float) -> None:
        """Do nothing: S3 keeps no half objects."""

    def _pages(self, prefix: str, **options: str) -> Iterator[dict[str, Any]]:
        pages = self._client.get_paginator("list_objects_v2")
        yield from pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix, **options)


@contextmanager
def _told() -> Iterator[None]:
    """Raise what boto3 raises as a StoreError; its messages name bucket and operation and hold no login."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        raise StoreError(f"{type(error).__name__}: {str(error)[:300]}") from error


def _code(error: Exception) -> str:
    """Return S3's error code of what boto3 raised, or an empty text."""
    answer = getattr(error, "response", None)
    return str(answer.get("Error", {}).get("Code", "")) if isinstance(answer, dict) else ""
