"""`darkroom down`: stop the stack that runs on a home."""
