"""One noun a file: HTTP in, HTTP out."""
