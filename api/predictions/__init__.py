"""Predictions: submit an image, read, list, follow and cancel."""
