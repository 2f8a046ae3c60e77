"""Load for a platform: gateways with real keys, whose batches are real chains, without a store and without devices."""
