"""What answers have in common over HTTP: JSON, problems, pages, rate limits."""
