"""The gateway's app as a whole, without the stores that its lifespan opens."""

from functools import cache
from types import ModuleType

from fastapi import FastAPI
from starlette.routing import BaseRoute

from api.account import api_keys
from api.account import routes as account
from api.batches import routes as batches
from api.console import routes as console
from api.edge import guard
from api.edge.auth import Authentication
from api.edge.request_observer import RequestObserver
from api.feedback import routes as feedback
from api.files import routes as files
from api.health import metrics, status
from api.health import routes as health
from api.http import problems
from api.models import orders as model_orders
from api.models import report as model_reports
from api.models import routes as models
from api.openapi import docs_page, document, problem_pages
from api.predictions import routes as predictions
from api.state.draining import Draining
from api.webhooks import routes as webhooks
from shared.observability.metrics import GatewayMetrics, new_registry


@cache
def _included(module: ModuleType) -> tuple[BaseRoute, ...]:
    """Return the routes of a module's router as FastAPI includes them in an app.

    FastAPI makes what it needs of them at their first use, which takes 20 ms of a core for all: the apps of all tests
    of a process have the same.
    """
    app = FastAPI(openapi_url=None, docs_url=None)
    app.include_router(module.router)
    return tuple(app.routes)


def make_app() -> FastAPI:
    """Return an app with every route."""
    app = FastAPI(title="Darkroom", version="1", openapi_url=None, docs_url=None)
    app.state.metrics, app.state.draining = GatewayMetrics(new_registry()), Draining()
    app.add_middleware(Authentication, required=False, public_url="http://darkroom.test")
    app.add_middleware(RequestObserver, metrics=app.state.metrics, draining=app.state.draining, lines="all")
    problems.install(app)
    app.router.routes.extend(predictions.direct.routes)
    for module in (
        predictions,
        batches,
        feedback,
        files,
        model_reports,
        model_orders,
        models,
        webhooks,
        account,
        api_keys,
        health,
        status,
        metrics,
        console,
        docs_page,
        problem_pages,
    ):
        app.router.routes.extend(_included(module))
    guard.install(app)
    document.install(app)
    return app
