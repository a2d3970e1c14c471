"""`darkroom purge`: delete everything of one owner."""
