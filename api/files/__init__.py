"""Files: upload an image once, name it in submissions by its URL."""
