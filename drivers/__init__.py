"""How to talk to devices: one class a protocol, found by name through the entry-point group `lamppost.drivers`."""
