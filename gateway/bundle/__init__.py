"""What `lamppost support-bundle` packs: an allow-list of parts, each without secrets."""
