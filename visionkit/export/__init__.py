"""Checkpoints as files that run without visionkit, each proven to be what was evaluated."""
