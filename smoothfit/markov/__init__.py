"""Gaussian Markov processes as priors of a curve, and the engines that filter them."""

from . import priors

__all__ = ["priors"]
