"""Telling receivers what happened: one attempt, safely."""
