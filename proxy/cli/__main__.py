"""`python -m proxy.cli`: the `greenlane` command where it is not on the path."""

from proxy.cli import main

main()
