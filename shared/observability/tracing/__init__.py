"""Traces: a request's trace context, carried with its job, and spans that OpenTelemetry exports where it is on."""
