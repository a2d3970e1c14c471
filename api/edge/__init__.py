"""What every connection and every request passes before a route: bounds, callers, headers."""
