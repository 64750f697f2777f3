"""``python -m mme``: the command line."""

import sys

from mme.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
