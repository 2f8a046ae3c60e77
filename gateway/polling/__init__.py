"""How buses are asked and listened to: whose turn it is, how each device does, and what a silent one may cost."""
