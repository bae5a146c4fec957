"""Data sets, augmentation, batches."""
