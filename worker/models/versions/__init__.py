"""The versions in this process' memory: loaded, counted, unloaded, failed."""
