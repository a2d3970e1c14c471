"""Models: what serves, by which version, and how busy it is."""
