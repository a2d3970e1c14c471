"""`darkroom bulk`."""
