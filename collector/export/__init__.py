"""What is stored as files for others: only points marked public, unless all are asked for."""
