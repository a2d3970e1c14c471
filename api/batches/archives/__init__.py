"""Reads zip, tar and tar.gz archives, which may be made to do harm."""
