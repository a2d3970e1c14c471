"""Flower, with a guard for where it asks for no login, and an end in time."""
