"""`python -m bandeau` is the command line."""

from __future__ import annotations

from bandeau.cli import main

if __name__ == "__main__":
    main()
