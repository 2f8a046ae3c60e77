"""Keys of messages that are signed by the fuzzer itself."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from buffer.keys import SigningKey

GATEWAY = "gw-1"
BATCH_KEY = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(32)))
ACK_KEY = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(31) + b"\1"))
