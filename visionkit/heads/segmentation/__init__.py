"""Heads that say the class of each pixel, one file for each family."""
