"""`darkroom feedback`: send labels from a CSV."""
