"""Celery workers: they predict, record results in Postgres, deliver webhooks, and keep Redis and Postgres clean."""
