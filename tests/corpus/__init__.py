"""Bad input, made by programs: what is dropped, and the answer that each must get."""
