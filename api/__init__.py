"""The gateway: it answers HTTP requests, and puts images into the queue."""
