"""`python -m vecsmith` is the `vecsmith` command."""

from __future__ import annotations

import sys

from vecsmith.cli import main

sys.exit(main())
