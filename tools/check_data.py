"""The same as ``visionkit check_data``."""

import sys

from visionkit.cli import main

if __name__ == "__main__":
    sys.exit(main(["check_data", *sys.argv[1:]]))
