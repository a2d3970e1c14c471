"""What one GPU gives, bare and through Darkroom: `python -m benchmarks.gpu`."""
