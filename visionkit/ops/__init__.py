"""Boxes, assignment and collectives, as pure functions."""
