"""A model version on a GPU: JPEGs decoded on the device, forward passes as CUDA graphs, in the version's precision."""
