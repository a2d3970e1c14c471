"""What one gateway process keeps in memory, and its access to Postgres."""
