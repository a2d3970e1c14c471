"""The embedded servers: Redis, Postgres, and MLflow behind a login."""
