"""What the platform or a technician has changed: verified, allowed by the gateway's own rules, done once, told of."""
