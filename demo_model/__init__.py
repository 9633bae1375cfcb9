"""The small CogVideoX model of this project: its world, training, evaluation and weights."""
