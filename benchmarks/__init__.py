"""What Darkroom costs, beside a bare loop and beside the design that tutorials teach: `python -m benchmarks`."""
