"""The commands of the command line. Imports are inside the functions: help answers at once."""
