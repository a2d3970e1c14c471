"""`darkroom models`: which models serve."""
