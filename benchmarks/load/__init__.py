"""Who sends: load generators, what they are told to send, and who receives."""
