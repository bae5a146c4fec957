"""The same as ``visionkit benchmark``."""

import sys

from visionkit.cli import main

if __name__ == "__main__":
    sys.exit(main(["benchmark", *sys.argv[1:]]))
