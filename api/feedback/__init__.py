"""Feedback: take what people say a prediction's right answer is, one at a time or as CSV, and list it."""
