"""Calculus."""
from .derivatives import Derivative, Jacobian, Status
from .numeric import derivative, directional, gradient, hessian, hessp, jacobian, total_derivative
