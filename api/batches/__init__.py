"""Many images in one call: uploaded, enqueued, followed, their results."""
