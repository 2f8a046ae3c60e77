"""Which gateways and operators the platform knows: keys, certificates, invitations, keyrings."""
