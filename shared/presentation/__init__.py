"""How predictions and batches look to people outside: the HTTP contract's objects, cells of a CSV."""
