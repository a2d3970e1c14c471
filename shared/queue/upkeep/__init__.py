"""What sweeps and purges do to the queue."""
