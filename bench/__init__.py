"""Programs that check what we claim about speed and cost. Their results are in bench/results/."""
