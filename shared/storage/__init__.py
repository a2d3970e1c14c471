"""Postgres, which holds finished work: connections, tables, statements, migrations."""
