"""The model door: bells in, predictions and records out."""
