"""A predict worker: pull a micro-batch, decode it, one forward pass, finish it."""
