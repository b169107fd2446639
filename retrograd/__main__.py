"""`python -m retrograd`: the same as the `retrograd` command."""

from __future__ import annotations

import sys

from retrograd.run import main

if __name__ == "__main__":
    sys.exit(main())
