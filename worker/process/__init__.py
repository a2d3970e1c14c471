"""What every worker process does: start, consume queues, run background threads, stop."""
