"""What Darkroom reports about itself: log lines and metrics."""
