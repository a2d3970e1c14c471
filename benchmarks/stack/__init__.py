"""What is measured against: a whole Darkroom, its models, a Redis beside it."""
