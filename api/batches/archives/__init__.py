"""Zip, tar and tar.gz from people one does not know."""
