"""Estimation of hyperparameters: searches with convergence checks, independent of the model."""
