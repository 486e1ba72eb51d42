"""Runs the command line: ``python -m botwire``."""

import sys

from botwire.cli import main

if __name__ == "__main__":
    sys.exit(main())
