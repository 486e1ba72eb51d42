"""Runs the command line as ``python -m botwire_crewai``."""

import sys

from botwire_crewai.cli import main

sys.exit(main())
