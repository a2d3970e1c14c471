"""The gateway door: HTTP in, HTTP out."""
