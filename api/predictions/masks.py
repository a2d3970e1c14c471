"""A prediction's mask as a file: read with its output, from Redis until that is recorded, then from Postgres."""

from functools import partial

import orjson
from sqlalchemy import Connection

from api.predictions.lookup import find_prediction
from api.state.gateway import Gateway
from api.state.large_work import off_the_loop
from api.state.postgres import ask_postgres
from shared.domain.errors import UnknownMask
from shared.domain.identifiers import Owner, PredictionId
from shared.domain.large_masks import mask_file
from shared.storage import predictions


async def read_mask(gate: Gateway, id: PredictionId, *, owner: Owner) -> bytes:
    """Return the PNG; raises UnknownPrediction, UnknownMask, or StorageUnavailable where a store can't tell."""
    kept = await gate.producer.jobs.find_output(id, owner)
    if kept is not None:
        file = await off_the_loop(len(kept), _decoded, kept)
    else:
        file = await ask_postgres(gate, partial(_recorded, id=id, owner=owner))
    if file is None:
        # Which of the two 404s: the prediction may be another owner's.
        await find_prediction(gate, id, owner=owner)
        raise UnknownMask(id=id)
    return file


def _recorded(connection: Connection, *, id: PredictionId, owner: Owner) -> bytes | None:
    return mask_file(predictions.find_output(connection, id, owner))


def _decoded(output: bytes) -> bytes | None:
    return mask_file(orjson.loads(output)) if output else None  # a prediction that failed or was canceled
