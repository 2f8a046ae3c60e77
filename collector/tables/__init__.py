"""The collector's tables: the one seam to SQLite and PostgreSQL, their schema, and what is summed from them."""
