"""Types and rules of Darkroom's domain: the standard library alone, no input or output."""
