"""Carries sealed batches to the platform and its answers back."""
