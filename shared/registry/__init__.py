"""What the command and the workers both do in the MLflow registry; it is handed a client, and imports no MLflow."""
