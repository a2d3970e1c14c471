"""`darkroom keys`: who may call the API."""
