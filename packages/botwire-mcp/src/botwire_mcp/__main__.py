"""Runs `botwire-mcp`: ``python -m botwire_mcp``."""

import sys

from botwire_mcp.cli import main

sys.exit(main())
