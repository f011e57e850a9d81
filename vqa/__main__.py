"""`python -m vqa`: the command line."""

import sys

from vqa.cli import main

if __name__ == "__main__":
    sys.exit(main())
