"""Reads the MLflow registry: models, aliases, ready versions and their tags."""
