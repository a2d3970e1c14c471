"""MLflow's server behind a login: `uvicorn --factory cli.stack.servers.mlflow_guard:create_app`."""

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from cli.stack.servers.mlflow_login import Login
from shared import settings
from shared.observability.log_file import keep_bounded

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN: Final = "/health"
"""Open to everybody, for balancers and whoever else asks whether it lives."""
_WORDS: Final = b"The registry asks for a login: `darkroom up` says which, and keeps it in mlflow.env of its home.\n"


class Guard:
    """Passes on requests with the login, by HTTP basic authentication (RFC 7617), and answers others 401."""

    def __init__(self, app: App, login: Login) -> None:
        self._app = app
        self._expected = login.token().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan" or self._is_allowed(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await _refuse(send)
        else:
            # Closed before it is accepted, a WebSocket is answered with 403.
            await send({"type": "websocket.close", "code": 1008})

    def _is_allowed(self, scope: Scope) -> bool:
        if scope["type"] == "http" and scope["path"] == OPEN:
            return True
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        scheme, _, login = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
        # Constant time: how long the comparison takes says nothing about the password.
        return hmac.compare_digest(login.strip(), self._expected) and scheme.lower() == b"basic"


async def _refuse(send: Send) -> None:
    """Answer 401; a browser then asks for the login."""
    headers = [
        (b"www-authenticate", b'Basic realm="MLflow of Darkroom", charset="UTF-8"'),
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(_WORDS)).encode()),
    ]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": _WORDS})


def create_app() -> App:
    """Return MLflow's app behind the login in the environment."""
    login = Login.of_environment()
    if login is None:
        raise RuntimeError("MLFLOW_TRACKING_PASSWORD is not set, and without it everybody would be let in")
    keep_bounded(settings.read(settings.Logging).file)
    from mlflow.server.fastapi_app import app  # noqa: PLC0415  reads the environment, and takes seconds

    return Guard(app, login)
