"""Pure rules: standard library only, no input or output."""
