"""Whether the gateway is well, and its metrics."""
