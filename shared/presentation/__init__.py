"""How predictions and batches are shown outside: JSON objects of the HTTP API, tokens in their URLs, cells of a CSV."""
