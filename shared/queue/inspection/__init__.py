"""Reading the queue's state without changing it: for metrics, health and `darkroom audit`."""
