"""The parts of hyper-parameter search: :mod:`visionkit.tune` puts them together."""
