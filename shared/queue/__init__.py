"""The queue in Redis: its keys, the Lua scripts that move states, and the callers of both, by side."""
