"""Model versions: followed in the MLflow registry, loaded, kept in memory, called."""
