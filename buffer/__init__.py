"""What is kept: the batch format, signing and verifying, the SQLite store and its readers."""
