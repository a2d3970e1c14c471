"""`darkroom bulk`: folders, files and archives to predictions, as bulk uploads that can be resumed."""
