"""`darkroom audit`: check on a live system that no job is lost, doubled or stuck."""
