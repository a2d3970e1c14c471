"""What is measured, a case a file."""
