"""The same as ``visionkit tune``."""

import sys

from visionkit.cli import main

if __name__ == "__main__":
    sys.exit(main(["tune", *sys.argv[1:]]))
