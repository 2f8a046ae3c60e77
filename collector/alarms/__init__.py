"""What is wrong with gateways and their data: found, kept in a table, told elsewhere."""
