"""What every connection and request passes before its route: limits, authentication, headers, metrics."""
