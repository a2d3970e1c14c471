"""Alembic's folder: migrations from each version of the schema to the next."""
