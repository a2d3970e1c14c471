"""Settings of pictures that are kept to learn from; without an address none are."""

import re
from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import AfterValidator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.settings.value_types import LongDuration, PositiveInt

_BUCKET: Final = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,62}(/.*)?")
_FOLDER: Final = re.compile(r"file:///.+|(?!\w+://).*")


def _checked_address(url: str) -> str:
    if not (_BUCKET.fullmatch(url) or _FOLDER.fullmatch(url)):
        raise ValueError("must be a folder, file:///folder or s3://bucket/prefix")
    return url


class KeepImages(BaseSettings):
    """Pictures kept to learn from. The same for predict and upkeep workers; an empty variable counts as unset."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_KEEP_IMAGES_", frozen=True, env_ignore_empty=True)

    url: Annotated[str, AfterValidator(_checked_address)] = ""
    """Where pictures are kept: a folder, or `s3://bucket/prefix`. Empty: none are kept, whatever tags say."""
    which: str = "off"
    """Which pictures are kept of models without the tag `darkroom.keep_images`: `off`, `all`, or any of `5%`,
    `below 0.6` and `disagree`, with commas between them."""
    bytes: PositiveInt = 10 * 1024**3
    """Bytes of all kept pictures; over that the oldest are deleted, within a minute or two."""
    age: LongDuration = timedelta(days=30)
    """How long a picture is kept, a day or more; no longer than `DARKROOM_RETENTION_PREDICTIONS` in any case."""
    endpoint: str = ""
    """Address of an S3 store that is not Amazon's (`http://seaweedfs:8333`). Empty: what boto3 finds."""
    encryption: Literal["", "AES256", "aws:kms", "aws:kms:dsse"] = ""
    """Encryption at rest that is asked of S3 with each picture. Empty: what the bucket does by itself."""
    kms_key: str = ""
    """Id of the KMS key for `aws:kms`. Empty: the account's key for S3."""
    waiting_bytes: PositiveInt = 64 * 1024**2
    """Bytes of pictures that wait in one predict worker to be written; while there are as many, further ones are not
    kept."""
