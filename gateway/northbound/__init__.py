"""Other platforms' words for what the gateway knows: SenML and Sparkplug B instead of signed batches."""
