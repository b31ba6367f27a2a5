"""`python -m midstream.cli` is `midstream`."""

from midstream.cli.app import main

main()
