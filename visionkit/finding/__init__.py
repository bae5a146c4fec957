"""The parts of the finders of learning rate and batch size, see :mod:`visionkit.find`."""
