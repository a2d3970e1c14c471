"""Predictions: submit, look, list, follow, cancel."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.routing import APIRoute
from fastapi.sse import EventSourceResponse

from api import openapi, schemas
from api.answers import JSONResponse, prediction_object
from api.auth import caller
from api.gateway import base_url, gateway
from api.listing import Filter, page
from api.lookup import find
from api.streaming import events, told_everything
from api.submitting import ANSWER_MARGIN, submit, wait_for
from shared.domain.durations import parse_prefer_wait
from shared.domain.errors import InvalidParameter, StorageUnavailable, Unauthorized
from shared.domain.identifiers import Owner, PredictionId, is_uuid
from shared.domain.job import Job
from shared.domain.prediction import Status
from shared.queue import bells
from shared.queue.lua import Script


class DirectRoute(APIRoute):
    """A route whose endpoint takes the request itself and returns the response.

    FastAPI's dependency solving costs 12 µs a request, a tenth of a submission's time in the gateway.
    """

    def get_route_handler(self):  # type: ignore[no-untyped-def]  # noqa: ANN201, D102
        return self.endpoint


router = APIRouter(prefix="/v1", tags=["predictions"])
direct = APIRouter(prefix="/v1", tags=["predictions"], route_class=DirectRoute)
