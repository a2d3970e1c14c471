"""`darkroom webhooks`: receive webhooks and verify them, to try them out."""
