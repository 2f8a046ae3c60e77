"""The platform's side: receive, verify, store and acknowledge the batches of gateways."""
