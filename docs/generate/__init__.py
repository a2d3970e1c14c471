"""Makes pages of `docs/reference` from what the code says: `python -m docs.generate`, or `make reference`."""
