"""A model version on a CPU: fp32, channels-last where the model takes that, in portions that fit the cache."""
