"""From a message of the broker to rows and the acknowledgement that frees a gateway's buffer."""
