"""From what drivers say to what is on the disk: recorded, packed, committed, sealed, read again."""
