"""Batches, the bulk uploads: many images in one call, their progress and results."""
