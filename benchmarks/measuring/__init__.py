"""What several cases do: send predictions, bulk uploads and webhooks, wait for their end, check every result."""
