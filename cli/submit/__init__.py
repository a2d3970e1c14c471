"""`darkroom submit`: images to predictions, a line each."""
