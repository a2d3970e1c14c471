"""HTTP that routes share: request headers, JSON, problems, pages of lists, event streams, rate limits."""
