"""The route that Prometheus reads the gateway's metrics from."""

from fastapi import APIRouter, Request, Response
from prometheus_client.exposition import choose_encoder

from api.edge.guard import GuardedRoute, needs
from api.openapi import responses
from api.state.gateway import gateway
from shared.domain.api_keys import Role

router = APIRouter(tags=["health"], route_class=GuardedRoute)


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses=responses.metrics(),
)
@needs(Role.ADMIN)
async def read(request: Request) -> Response:
    """Return this process's metrics in Prometheus' text format, or as OpenMetrics where `Accept` asks for it."""
    try:
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
    except (TypeError, ValueError):  # the library can't read its version
        encode, media_type = choose_encoder("")
    # 3 to 8 ms in the event loop; a thread would hold it up as long, by Python's lock.
    return Response(encode(gateway(request).metrics.registry), media_type=media_type)
