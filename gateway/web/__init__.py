"""The technician's page: a process of its own that sees `status.sock` and nothing behind it."""
