"""The console: pages for people, served at `/`, which use nothing but the public API."""
