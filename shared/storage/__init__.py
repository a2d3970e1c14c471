"""The record: Postgres tables, statements and migrations."""
