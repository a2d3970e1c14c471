"""Opens the store that a setting names: a folder, or a bucket with a prefix."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from shared.pictures.folder_store import FolderStore
from shared.pictures.picture_store import PictureStore
from shared.pictures.s3_store import S3Store
from shared.settings import KeepImages, SettingsError


def store_address(url: str) -> str:
    """Return an address as any process of this machine may open it: a folder's made absolute."""
    if url.startswith("s3://"):
        return url
    folder = unquote(urlsplit(url).path) if url.startswith("file://") else url
    return str(Path(folder).expanduser().resolve())


def is_folder(address: str) -> bool:
    """Tell whether an address is a folder's."""
    return not address.startswith("s3://")


def open_store(settings: KeepImages) -> PictureStore:
    """Return the store of the settings' address, which must not be empty. Raises SettingsError without boto3 for S3.

    Nothing is connected to: a store that is away is noticed when it is used.
    """
    address = store_address(settings.url)
    if is_folder(address):
        return FolderStore(Path(address))
    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    try:
        return S3Store(
            bucket,
            f"{prefix.strip('/')}/" if prefix.strip("/") else "",
            endpoint=settings.endpoint,
            encryption=settings.encryption,
            key=settings.kms_key,
        )
    except ModuleNotFoundError as error:
        reason = f"this needs {error.name}: pip install 'darkroom[pictures]'"
    except ValueError as error:  # an endpoint that is no address, no region
        reason = str(error)
    raise SettingsError(f"DARKROOM_KEEP_IMAGES_URL: {reason}")
