"""Walks what is stored and proves it: signatures, chain, account of what is missing, and the tables made of it."""
