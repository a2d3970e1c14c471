"""Follows one model in the registry: which version serves, and from when on."""
