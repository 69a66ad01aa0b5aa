"""Kernels and their derivatives against the general formula and differences with many digits."""

import itertools

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import smoothfit as sf
from smoothfit.errors import SpecificationError
from smoothfit.gp.terms import ALL, Geometry, expansion, variance_at_zero

KERNELS = [sf.gp.SquaredExponential, sf.gp.Matern12, sf.gp.Matern32, sf.gp.Matern52]


def derivatives_of(kernel, d, most):
    """Pairs of derivatives (A, B) that a kernel has, up to an order in each argument."""
    smooth = int(min(kernel.smoothness, most))
    axes = [A for k in range(smooth + 1) for A in itertools.combinations_with_replacement(range(d), k)]
    return list(itertools.product(axes, axes))


@pytest.mark.parametrize("kernel", KERNELS[1:])
def test_matern_closed_forms_are_the_bessel_functions(kernel, mp):
    MP, phi, _, matern = mp
    nu = MP.mpf(kernel.markov_order) + MP.mpf(1) / 2
    for r in ("0", "1e-30", "1e-3", "0.7", "5", "60"):
        assert abs(phi[kernel](MP.mpf(r)) / matern(nu)(MP.mpf(r)) - 1) < 1e-50


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("distance", [0.0, 1e-9, 1e-3, 0.4, 3.0, 30.0])
def test_every_derivative_by_the_inputs(kernel, distance, mp):
    MP, phi, derivative, _ = mp
    length = np.array([0.5, 2.0])
    x, z = np.array([[0.25, -1.0]]), np.array([[0.25, -1.0]]) + distance * np.array([[0.375, 0.625]])
    geometry = Geometry(kernel(), x, z, length)

    def k(both):
        return phi[kernel](MP.sqrt(sum(((both[j] - both[2 + j]) / MP.mpf(length[j])) ** 2 for j in range(2))))

    at = [MP.mpf(float(v)) for v in (*x[0], *z[0])]
    for A, B in derivatives_of(kernel, 2, 2):
        expected = float(derivative(k, at, list(A) + [2 + b for b in B]))
        value = geometry.evaluate(A, B)[0, 0]
        # relative to the largest value of this derivative; terms of one entry cancel by a factor of some ten at most
        scale = np.sqrt(variance_at_zero(kernel(), length, A, A) * variance_at_zero(kernel(), length, B, B))
        tail = min(1.0, 1e3 * np.exp(-distance))  # and small where the function is small
        assert abs(value - expected) < 4e-14 * scale * tail


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("distance", [0.0, 1e-3, 0.4, 3.0])
@pytest.mark.parametrize("by", [(0,), (1,), (0, 0), (0, 1), (1, 1), (ALL,), (ALL, ALL)])
def test_every_derivative_by_logarithms_of_length_scales(kernel, distance, by, mp):
    MP, phi, derivative, _ = mp
    length = np.array([0.5, 2.0])
    x, z = np.array([[0.25, -1.0]]), np.array([[0.25, -1.0]]) + distance * np.array([[0.375, 0.625]])
    geometry = Geometry(kernel(), x, z, length)

    def k(both):  # x, z, log lengths
        scales = [MP.mpf(length[j]) * MP.exp(both[4 + j] + both[6]) for j in range(2)]
        return phi[kernel](MP.sqrt(sum(((both[j] - both[2 + j]) / scales[j]) ** 2 for j in range(2))))

    at = [MP.mpf(float(v)) for v in (*x[0], *z[0])] + [MP.mpf(0)] * 3
    for A, B in derivatives_of(kernel, 2, 1):  # what observations read
        expected = float(derivative(k, at, list(A) + [2 + b for b in B] + [6 if j == ALL else 4 + j for j in by]))
        scale = np.sqrt(variance_at_zero(kernel(), length, A, A) * variance_at_zero(kernel(), length, B, B))
        assert abs(geometry.evaluate(A, B, by)[0, 0] - expected) < 2e-13 * scale


def test_expansion_of_the_textbook():
    # Rasmussen & Williams (2006), equation 9.1, for the squared exponential: d2 k / dx_i dx'_j = (delta_ij - w_i w_j) k / (l_i l_j)
    assert expansion(2, (0,), (1,)) == {(2, (1, 1)): -1.0}
    assert expansion(2, (0,), (0,)) == {(2, (2, 0)): -1.0, (1, (0, 0)): -1.0}


@pytest.mark.parametrize("kernel", KERNELS)
def test_prior_covariances_of_values_slopes_and_curvatures_are_positive(kernel):
    rng = np.random.default_rng(1)
    X, length = rng.uniform(0, 2, (6, 3)), np.array([0.7, 1.3, 2.0])
    geometry = Geometry(kernel(), X, X, length)
    smooth = int(min(kernel.smoothness, 2))
    axes = [A for k in range(smooth + 1) for A in itertools.combinations_with_replacement(range(3), k)]
    K = np.block([[geometry.evaluate(A, B) for B in axes] for A in axes])
    np.testing.assert_allclose(K, K.T, atol=1e-15 * np.abs(K).max())
    assert np.linalg.eigvalsh(K).min() > -1e-14 * np.abs(K).max()


@settings(max_examples=50, deadline=None, derandomize=True, database=None)
@given(
    st.sampled_from(KERNELS[2:] + KERNELS[:1]),
    st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    st.lists(st.floats(0.1, 10), min_size=3, max_size=3),
)
def test_swapping_the_arguments_transposes(kernel, offset, length):
    x, z = np.zeros((1, 3)), np.array([offset])
    one, other = Geometry(kernel(), x, z, np.array(length)), Geometry(kernel(), z, x, np.array(length))
    for A, B in derivatives_of(kernel, 3, 1):
        size = np.sqrt(np.prod([variance_at_zero(kernel(), np.array(length), C, C) for C in (A, B)]))
        # the terms are summed in another order
        np.testing.assert_allclose(one.evaluate(A, B), other.evaluate(B, A).T, rtol=1e-14, atol=1e-15 * size)


def test_kernels_check_what_they_are_given():
    for options, words in [
        ({"length_scale": -1}, "length_scale is -1"),
        ({"length_scale": [1.0, 0.0]}, r"length_scale\[1\] is 0"),
        ({"length_scale": "short"}, "positive number"),
        ({"length_scale": []}, "empty"),
        ({"length_scale": [1.0, 2.0], "ard": False}, "ard"),
        ({"amplitude": np.inf}, "amplitude is inf"),
    ]:
        with pytest.raises(SpecificationError, match=words):
            sf.gp.Matern52(**options)
    with pytest.raises(SpecificationError, match="3 entries and X 2 inputs"):
        sf.gp.Matern52([1, 2, 3]).length_scales(2)
    kernel = sf.gp.Matern32([1, None])
    assert kernel.length_scales(2) == (1.0, None)
    with pytest.raises(AttributeError):
        kernel.amplitude = 2.0
