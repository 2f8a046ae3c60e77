"""`python -m collector` is `lamppost-collector`."""

from collector.cli import main

main()
