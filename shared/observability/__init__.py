"""What Darkroom lets people see of itself: log lines and metrics."""
