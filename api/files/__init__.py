"""Files: an image is uploaded once and then named by its URL in submissions."""
