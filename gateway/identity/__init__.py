"""Which gateway this is: its board and keys, how the platform came to know it, and how that ends."""
