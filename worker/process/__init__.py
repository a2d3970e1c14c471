"""How a worker process lives: it starts, consumes, keeps its threads, stops."""
