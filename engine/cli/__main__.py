"""`python -m engine.cli`: the sub-commands where no window can be, such as on a server."""

import sys

from engine.cli import main

if __name__ == "__main__":
    sys.exit(main())
