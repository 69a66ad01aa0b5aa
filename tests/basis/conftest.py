"""B-splines in high precision, straight from the recursion of Cox and de Boor: an oracle for the tests of the bases."""

import mpmath
import numpy as np
import pytest

DIGITS = 60


class Oracle:
    """The functions of full knots and a degree, at any number of derivatives, and their integrals."""

    def __init__(self, knots, degree):
        with mpmath.workdps(DIGITS):
            self.knots = [mpmath.mpf(float(t)) for t in knots]
        self.degree = degree
        self.n_basis = len(self.knots) - degree - 1

    def span(self, x):
        last = max(i for i in range(self.degree, self.n_basis) if self.knots[i] < self.knots[i + 1])
        return max(
            (i for i in range(self.degree, self.n_basis) if self.knots[i] <= x and self.knots[i] < self.knots[i + 1]), default=last
        )

    def function(self, j, degree, x, deriv, span):
        t = self.knots
        if degree == 0:
            return mpmath.mpf(j == span and deriv == 0)
        before, after = t[j + degree] - t[j], t[j + degree + 1] - t[j + 1]
        if deriv:
            first = self.function(j, degree - 1, x, deriv - 1, span) / before if before else 0
            second = self.function(j + 1, degree - 1, x, deriv - 1, span) / after if after else 0
            return degree * (first - second)
        first = (x - t[j]) * self.function(j, degree - 1, x, 0, span) / before if before else 0
        second = (t[j + degree + 1] - x) * self.function(j + 1, degree - 1, x, 0, span) / after if after else 0
        return first + second

    def row(self, x, deriv=0):
        """Values of all functions at one x, rounded."""
        with mpmath.workdps(DIGITS):
            x = mpmath.mpf(float(x))
            span = self.span(x)
            zero = [mpmath.mpf(0)] * self.n_basis
            for j in range(span - self.degree, span + 1):
                zero[j] = self.function(j, self.degree, x, deriv, span)
            return np.array([float(v) for v in zero])

    def gram(self, deriv):
        """Integrals of products of derivatives over the domain, by Gauss-Legendre quadrature in high precision."""
        with mpmath.workdps(DIGITS):
            nodes = mpmath.calculus.quadrature.GaussLegendre(mpmath.mp).calc_nodes(3, mpmath.mp.prec)
            total = mpmath.zeros(self.n_basis)
            for i in range(self.degree, self.n_basis):
                low, high = self.knots[i], self.knots[i + 1]
                if low == high:
                    continue
                half, middle = (high - low) / 2, (high + low) / 2
                for node, weight in nodes:
                    x = middle + half * node
                    row = {j: self.function(j, self.degree, x, deriv, i) for j in range(i - self.degree, i + 1)}
                    for a in row:
                        for b in row:
                            total[a, b] += half * weight * row[a] * row[b]
            return np.array([[float(total[a, b]) for b in range(self.n_basis)] for a in range(self.n_basis)])


@pytest.fixture
def oracle():
    return Oracle
