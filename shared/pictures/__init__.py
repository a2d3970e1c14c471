"""Pictures kept to learn from: their names, and the folder or S3 bucket that they are kept in."""
