"""What each system runs, in its own environment, all with the same model; PEER_* variables say which and how."""
