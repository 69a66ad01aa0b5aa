"""How hyperparameters are found: certified searches that know no model."""
