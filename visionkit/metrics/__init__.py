"""Scores of results against a split's truth."""
