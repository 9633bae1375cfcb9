"""What we claim about speed and cost, as programs. Results go to bench/results/."""
