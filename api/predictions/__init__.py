"""One image: submit it, look at it, follow it, cancel it."""
