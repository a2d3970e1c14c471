"""Recording finished predictions: from the finished stream in Redis to Postgres and the prediction log."""
