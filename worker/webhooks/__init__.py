"""Delivering webhooks: which deliveries are due, what they say, and sending them safely to addresses clients name."""
