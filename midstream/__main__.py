"""`python -m midstream`: the command line, where its script is not on the path."""

from midstream.cli import main

if __name__ == "__main__":
    main()
