"""Many images in one call: read, enqueued, watched, their results."""
