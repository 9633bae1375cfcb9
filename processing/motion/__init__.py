"""Makes the frames that are shown from those of the model: another frame rate, and loops."""
