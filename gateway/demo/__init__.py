"""The demo: simulated devices, the agent, a broker and a collector in a folder of their own, and an exact account."""
