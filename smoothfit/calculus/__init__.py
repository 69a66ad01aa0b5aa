"""Calculus that can be trusted numerically: derivatives of functions, matrix calculus, losses, probability, critical points."""

from .bivariate_normal import (
    BivariateNormalGradient,
    bivariate_normal_cdf,
    bivariate_normal_common_mean,
    bivariate_normal_gradient,
)
from .check import GradientCheck, check_gradient
from .classification import CrossEntropyLoss, LogisticLoss, bohning_bound, multinomial_hessian
from .critical_points import classify_critical_point, find_critical_points
from .derivatives import Derivative, Jacobian, Status
from .energy import EnergyGradient, energy_gradient, energy_gradient_monte_carlo
from .grouped import GroupLassoFit, group_block, group_lasso, group_lasso_path, group_prox
from .inertia import CriticalPoint, Inertia
from .logits import cross_entropy, cross_entropy_gradient, cross_entropy_hessp, softmax, softmax_jacobian, softmax_jvp, softmax_vjp
from .losses import (
    ResidualLoss,
    Subdifferential,
    huber,
    log_cosh,
    mean_absolute_error,
    mean_absolute_error_subdifferential,
    pseudo_huber,
)
from .matrix import chain, check_layout, commutation_matrix, duplication_matrix, to_layout, unvec, vec
from .network import Backpropagation, Layer, backpropagation
from .numeric import derivative, directional, gradient, hessian, hessp, jacobian, total_derivative
from .optimize import QuadraticApproximation, early_stopping_shrinkage, equivalent_penalty, ridge_shrinkage
from .order_statistics import (
    order_statistic_cdf,
    order_statistic_logpdf,
    order_statistic_pdf,
    order_statistic_pdf_derivative,
)
from .probability import ChangeOfMeasure, LogOdds, RadonNikodym, change_measure, gaussian_log_odds, kl_divergence
from .registry import Identity, Verification, identities, identity
from .special import inverse_mills, inverse_mills_derivative, logistic_growth, logistic_growth_derivative

__all__ = [
    "Backpropagation",
    "BivariateNormalGradient",
    "ChangeOfMeasure",
    "CriticalPoint",
    "CrossEntropyLoss",
    "Derivative",
    "EnergyGradient",
    "GradientCheck",
    "GroupLassoFit",
    "Identity",
    "Inertia",
    "Jacobian",
    "Layer",
    "LogOdds",
    "LogisticLoss",
    "QuadraticApproximation",
    "RadonNikodym",
    "ResidualLoss",
    "Status",
    "Subdifferential",
    "Verification",
    "backpropagation",
    "bivariate_normal_cdf",
    "bivariate_normal_common_mean",
    "bivariate_normal_gradient",
    "bohning_bound",
    "chain",
    "change_measure",
    "check_gradient",
    "check_layout",
    "classify_critical_point",
    "commutation_matrix",
    "cross_entropy",
    "cross_entropy_gradient",
    "cross_entropy_hessp",
    "derivative",
    "directional",
    "duplication_matrix",
    "early_stopping_shrinkage",
    "energy_gradient",
    "energy_gradient_monte_carlo",
    "equivalent_penalty",
    "find_critical_points",
    "gaussian_log_odds",
    "gradient",
    "group_block",
    "group_lasso",
    "group_lasso_path",
    "group_prox",
    "hessian",
    "hessp",
    "huber",
    "identities",
    "identity",
    "inverse_mills",
    "inverse_mills_derivative",
    "jacobian",
    "kl_divergence",
    "log_cosh",
    "logistic_growth",
    "logistic_growth_derivative",
    "mean_absolute_error",
    "mean_absolute_error_subdifferential",
    "multinomial_hessian",
    "order_statistic_cdf",
    "order_statistic_logpdf",
    "order_statistic_pdf",
    "order_statistic_pdf_derivative",
    "pseudo_huber",
    "ridge_shrinkage",
    "softmax",
    "softmax_jacobian",
    "softmax_jvp",
    "softmax_vjp",
    "to_layout",
    "total_derivative",
    "unvec",
    "vec",
]
