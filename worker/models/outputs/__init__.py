"""What a version answers for an image, as JSON: one module a task."""
