"""The same as ``visionkit serve``."""

import sys

from visionkit.cli import main

if __name__ == "__main__":
    sys.exit(main(["serve", *sys.argv[1:]]))
