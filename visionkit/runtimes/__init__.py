"""What answers for a model: the network of a checkpoint, or an exported file."""
