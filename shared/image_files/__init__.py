"""Reads the headers of image files, for the gateway and the workers alike. Standard library only."""
