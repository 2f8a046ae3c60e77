"""`python -m gateway` is `lamppost`."""

from gateway.cli import main

main()
