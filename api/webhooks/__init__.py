"""Webhooks: the secret that signs them, what was delivered, and deliver again."""
