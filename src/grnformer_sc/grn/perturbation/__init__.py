"""What perturbed genes do to expression: labels, splits, baselines, and predictors that know a network."""
