"""`darkroom migrate`: bring the database to the newest schema."""
