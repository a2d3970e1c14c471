"""From the finished stream to Postgres and the prediction log."""
