"""Image bytes to the pixels a model takes, in this process or in one of its own."""
