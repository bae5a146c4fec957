"""How long a model takes in each runtime, and what it needs and is worth: told as it is."""
