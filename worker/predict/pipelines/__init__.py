"""Pipelines in a predict worker: each picture decoded once, every step of it computed here, one output."""
