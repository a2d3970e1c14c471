"""A version's metadata: read from tags, from `MLmodel` and from what its flavour knows."""
