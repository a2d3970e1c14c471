"""The supervisor: keeps a stack's programs running, and its state on file."""
