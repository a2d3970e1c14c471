"""Starts a process' tracing where it is turned on. Where it is off, what makes spans is not imported."""

from typing import TYPE_CHECKING

from shared.settings import SettingsError, Tracing

if TYPE_CHECKING:
    from shared.observability.tracing import spans


def start_tracing(settings: Tracing, *, service: str, instance: str) -> "spans.Tracing | None":
    """Return what makes this process' spans; None where tracing is off.

    `instance` tells processes of the service apart. Raises SettingsError where it can't be turned on.
    """
    if not settings.enabled:
        return None
    try:
        from shared.observability.tracing import spans  # noqa: PLC0415
    except ImportError as error:
        raise SettingsError(
            f"DARKROOM_TRACING_ENABLED: {error.name} is not installed; `pip install 'darkroom[otel]'` brings it"
        ) from None
    try:
        return spans.Tracing(service=service, instance=instance)
    except ValueError as error:
        raise SettingsError(f"DARKROOM_TRACING_ENABLED: a variable of OpenTelemetry's can't be used: {error}") from None
