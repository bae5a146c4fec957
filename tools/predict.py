"""The same as ``visionkit predict``."""

import sys

from visionkit.cli import main

if __name__ == "__main__":
    sys.exit(main(["predict", *sys.argv[1:]]))
