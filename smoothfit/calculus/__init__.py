"""Calculus."""
from .derivatives import Derivative, Jacobian, Status
from .numeric import derivative, directional, gradient, hessian, hessp, jacobian, total_derivative
from .check import GradientCheck, check_gradient
from .identities import Identity, identities, identity
from .matrix import chain, check_layout, to_layout, vec, unvec, commutation_matrix, duplication_matrix
