"""The queue: Redis keys, the scripts that move states, and who calls them."""
