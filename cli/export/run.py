"""Write kept pictures of one owner and model into a folder, with their labels."""

from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from redis import RedisError
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from cli.addresses import store_url
from cli.export.dataset import log_dataset
from cli.export.folder import ExportFolder
from cli.export.label_folders import MANIFEST
from cli.export.selection import Picture, select_pictures
from cli.pictures import find_store
from cli.terminal.lines import first_line, say
from cli.terminal.meter import Meter
from cli.terminal.names import shown
from cli.terminal.refused import Refused
from shared.domain.ages import written_age
from shared.domain.identifiers import Digest, ModelName, Owner
from shared.pictures.names import model_prefix, read_name
from shared.pictures.picture_store import PictureStore, StoreError
from shared.queue.connection.clients import connect_briefly
from shared.settings import Database, Redis
from shared.storage.engine import make_engine
from shared.storage.kept_predictions import read_kept_predictions


def export(
    home: Path,
    model: str,
    *,
    owner: Owner,
    since: timedelta,
    labelled: bool,
    disagreed: bool,
    out: Path,
    mlflow_run: str | None,
) -> int:
    """Export and say what was done; return the exit code, 1 where no picture was found."""
    try:
        with connect_briefly(Redis(url=store_url(home, "DARKROOM_REDIS_URL"))) as client:
            store = find_store(client)
        if store is None:
            raise Refused("No pictures are kept: set DARKROOM_KEEP_IMAGES_URL for the workers, and tag the model.")
        pictures = _pictures(home, store, owner, ModelName(model), since, labelled=labelled, disagreed=disagreed)
        if not pictures:
            wanted = [f"predictions of the last {written_age(since)}"]
            wanted += ["feedback (--labelled)"] * labelled + ["a shadow that disagreed (--disagreed)"] * disagreed
            say(f"No kept picture of {shown(model)} and the owner {owner} has {' and '.join(wanted)}.")
            return 1
        folder = ExportFolder(out)
        folder.begin(model=model, owner=owner)
        numbers = count(1)
        with Meter(Console()) as meter:
            entries, gone = folder.write_pictures(
                pictures,
                store,
                on_done=lambda: meter.show(done=next(numbers), total=len(pictures), step="writing"),
            )
        digest = folder.finish(entries, model=model, owner=owner)
    except StoreError as error:
        raise Refused(f"The kept pictures can't be read; run it again to continue: {error}") from None
    except (RedisError, SQLAlchemyError, OSError) as error:
        raise Refused(f"It is not finished; run it again to continue: {first_line(error)}") from None
    labels = {entry["label"] for entry in entries} - {None}
    with_label = sum(entry["label"] is not None for entry in entries)
    say(f"{len(entries):,} pictures in {shown(out)}, {with_label:,} of them labelled with {len(labels):,} labels.")
    if gone:
        say(f"{gone:,} were deleted meanwhile, or damaged, and are left out.")
    say(f"sha256 {digest} ({MANIFEST})")
    say(log_dataset(home, model, out, digest, pictures=len(entries), run=mlflow_run))
    return 0


def _pictures(
    home: Path,
    store: PictureStore,
    owner: Owner,
    model: ModelName,
    since: timedelta,
    *,
    labelled: bool,
    disagreed: bool,
) -> list[Picture]:
    """Return what is to be exported: only of this owner's predictions, and only of its kept pictures."""
    kept: dict[Digest, Picture] = {}
    for one in store.pictures(model_prefix(owner, model)):
        if (name := read_name(one.name)) is not None:
            kept[name.digest] = Picture(name.digest, one.name, one.size)
    engine = make_engine(Database(url=store_url(home, "DARKROOM_DATABASE_URL")))
    try:
        with engine.connect() as connection:
            found = read_kept_predictions(
                connection, owner, model, since=datetime.now(UTC) - since, digests=kept.keys()
            )
            return select_pictures(kept, found, labelled=labelled, disagreed=disagreed)
    finally:
        engine.dispose()
