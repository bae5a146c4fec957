"""The same as ``visionkit find``."""

import sys

from visionkit.cli import main

if __name__ == "__main__":
    sys.exit(main(["find", *sys.argv[1:]]))
