"""Upkeep: deadlines, expired keys and rows, room in Redis, models that nobody serves, lost bells."""
