"""What runs and how it is doing, computed from the figures that every process publishes; no input or output."""
