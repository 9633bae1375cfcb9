"""A small CogVideoX of our own: its world, training, evaluation and weights."""
