"""From feature maps to losses and results."""
