"""`darkroom up` and `down`: one machine's servers and programs, started, watched over, stopped."""
