"""Bad drops, made by programs, each with the answer that it must get."""
