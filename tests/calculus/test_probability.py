import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from smoothfit import calculus
from smoothfit.errors import DataError, SpecificationError

NORMAL = stats.norm(0, 1)
DISTRIBUTIONS = [stats.norm(1, 2), stats.expon(), stats.beta(2, 3), stats.uniform()]


@pytest.mark.parametrize(("r", "n"), [(1, 1), (1, 7), (7, 7), (3, 7), (50, 1000), (1000, 1000)])
@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=lambda distribution: distribution.dist.name)
def test_the_density_integrates_to_the_distribution_function(r, n, distribution):
    low, middle, high = (
        stats.beta(r, n - r + 1).ppf([1e-9, 0.4, 1 - 1e-9]) if n else None
    )  # quantiles of the uniform order statistic
    start, stop = distribution.ppf(low), distribution.ppf(middle)
    mass = integrate.quad(lambda x: float(calculus.order_statistic_pdf(x, distribution, r, n)), start, stop, epsabs=1e-12)[0]
    ends = calculus.order_statistic_cdf([start, stop], distribution, r, n)
    assert mass == pytest.approx(ends[1] - ends[0], rel=1e-7)
    assert ends[1] == pytest.approx(0.4, rel=1e-9)
    del high


def test_the_largest_and_the_smallest_in_the_tails():
    x = np.array([-30.0, -5.0, 0.0, 5.0, 8.0])
    with mpmath.workdps(50):
        for n in (2, 1000):
            F = [mpmath.ncdf(mpmath.mpf(v)) for v in x]
            S = [mpmath.ncdf(-mpmath.mpf(v)) for v in x]
            f = [mpmath.npdf(mpmath.mpf(v)) for v in x]
            logs = [float(mpmath.log(n * p ** (n - 1) * d)) for p, d in zip(F, f, strict=True)]
            np.testing.assert_allclose(calculus.order_statistic_logpdf(x, NORMAL, n, n), logs, rtol=1e-12)
            logs = [float(mpmath.log(n * p ** (n - 1) * d)) for p, d in zip(S, f, strict=True)]
            np.testing.assert_allclose(calculus.order_statistic_logpdf(x, NORMAL, 1, n), logs, rtol=1e-12)
            small = [float(-mpmath.expm1(n * mpmath.log1p(-p))) for p in F]
            np.testing.assert_allclose(calculus.order_statistic_cdf(x, NORMAL, 1, n), small, rtol=1e-11)


def test_at_the_ends_of_the_support_powers_of_zero_are_one():
    uniform = stats.uniform()
    assert calculus.order_statistic_pdf([0.0, 1.0], uniform, 1, 3).tolist() == pytest.approx([3.0, 0.0])
    assert calculus.order_statistic_pdf([0.0, 1.0], uniform, 3, 3).tolist() == pytest.approx([0.0, 3.0])
    assert calculus.order_statistic_pdf([-0.5, 1.5], uniform, 2, 3).tolist() == [0.0, 0.0]
    assert calculus.order_statistic_pdf_derivative([-0.5, 1.5], uniform, 2, 3).tolist() == [0.0, 0.0]


@given(st.floats(-6, 6), st.integers(1, 9), st.integers(0, 9))
def test_the_slope_of_the_density(x, r, extra):
    n = r + extra
    slope = float(calculus.order_statistic_pdf_derivative(x, NORMAL, r, n))
    exact = float(calculus.order_statistic_pdf_derivative(x, NORMAL, r, n, score=lambda z: -z))
    numeric = calculus.derivative(lambda z: calculus.order_statistic_pdf(z, NORMAL, r, n), x)
    assert slope == pytest.approx(exact, rel=1e-8, abs=1e-11)
    assert abs(exact - float(numeric.value)) <= numeric.error + 1e-9 * abs(exact)


def test_order_statistics_sum_to_the_sample():
    x = np.linspace(-3, 3, 13)
    total = sum(calculus.order_statistic_pdf(x, NORMAL, r, 9) for r in range(1, 10))
    np.testing.assert_allclose(total, 9 * NORMAL.pdf(x), rtol=1e-12)


@pytest.mark.parametrize(
    ("r", "n", "words"), [(0, 3, "r is 0; it ranges from 1 to 3"), (4, 3, "r is 4"), (1, 0, "n is 0"), (1.5, 3, "r is 1.5")]
)
def test_ranks_outside_the_sample_are_refused(r, n, words):
    with pytest.raises(SpecificationError, match=words):
        calculus.order_statistic_pdf(0.0, NORMAL, r, n)
    with pytest.raises(SpecificationError, match="which has no logpdf"):
        calculus.order_statistic_cdf(0.0, stats.poisson(3), 1, 2)


def test_radon_nikodym_is_a_density():
    p, q = stats.norm(1, 0.5), stats.norm(0, 1)
    ratio = calculus.RadonNikodym(p.logpdf, q.logpdf)
    mass = integrate.quad(lambda x: float(ratio(x)) * q.pdf(x), -10, 10)[0]
    assert mass == pytest.approx(1, rel=1e-9)
    x = np.array([-50.0, 0.3, 40.0])
    np.testing.assert_allclose(ratio.log(x), p.logpdf(x) - q.logpdf(x))
    np.testing.assert_allclose(ratio.inverse().log(x), -ratio.log(x))
    assert ratio(0.3).shape == ()


def test_the_chain_rule_of_measures():
    p, q, r = stats.norm(1, 0.5).logpdf, stats.norm(0, 1).logpdf, stats.t(3).logpdf
    whole = calculus.RadonNikodym(p, q).times(calculus.RadonNikodym(q, r))
    x = np.linspace(-3, 3, 7)
    np.testing.assert_allclose(whole(x), np.exp(p(x) - r(x)), rtol=1e-12)
    np.testing.assert_allclose(whole(x), calculus.RadonNikodym(p, q)(x) * calculus.RadonNikodym(q, r)(x), rtol=1e-12)
    with pytest.raises(SpecificationError, match="chain rule"):
        calculus.RadonNikodym(p, q).times(calculus.RadonNikodym(p, r))


def test_supports_that_do_not_overlap_are_refused():
    ratio = calculus.RadonNikodym(stats.uniform(0, 1).logpdf, stats.uniform(0.5, 1).logpdf)
    assert ratio([0.75, 1.2]).tolist() == [1.0, 0.0]
    assert ratio([2.0]).tolist() == [0.0]  # neither has mass there
    with pytest.raises(DataError, match=r"q is zero at x\[1\] where p is not"):
        ratio([0.75, 0.25])
    with pytest.raises(DataError, match="do not overlap"):
        calculus.change_measure([1.0, 2.0], [-np.inf, -np.inf])
    with pytest.raises(DataError, match=r"q\[1\] is zero where p\[1\]"):
        calculus.kl_divergence([0.5, 0.5], [1.0, 0.0])
    with pytest.raises(DataError, match=r"logp is nan at x\[0\]"):
        calculus.RadonNikodym(lambda x: x * np.nan, np.negative)([1.0])


@pytest.mark.parametrize("normalized", [True, False])
def test_expectations_under_another_measure_have_honest_errors(normalized):
    rng = np.random.default_rng(5)
    p, q = stats.norm(0.7, 0.9), stats.norm(0, 1)
    offset = 0.0 if normalized else 3.7  # of a log-density that is not normalised
    log_ratio = calculus.RadonNikodym(lambda x: p.logpdf(x) + offset, q.logpdf)
    hits, kl_hits = 0, 0
    kl = np.log(1 / 0.9) + (0.81 + 0.49) / 2 - 0.5
    for _ in range(300):
        x = rng.standard_normal(400)
        result = calculus.change_measure(x**2, log_ratio.log(x), normalized=normalized)
        hits += abs(result.mean - (0.81 + 0.49)) <= 1.96 * result.se
        kl_hits += abs(result.kl - kl) <= 1.96 * result.kl_se
    assert 0.90 <= hits / 300 <= 0.99
    assert 0.88 <= kl_hits / 300 <= 0.99
    assert result.weights.sum() == pytest.approx(1)
    assert 1 <= result.ess <= 400
    equal = calculus.change_measure(np.arange(10.0), np.zeros(10), normalized=normalized)
    assert equal.ess == pytest.approx(10)
    assert (equal.mean, equal.kl) == pytest.approx((4.5, 0.0))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: calculus.change_measure([1.0, 2.0], [0.0]), "go together draw by draw"),
        (lambda: calculus.change_measure([1.0], [0.0]), "at least two"),
        (lambda: calculus.change_measure([1.0, np.nan], [0.0, 0.0]), r"values\[1\] is nan"),
        (lambda: calculus.change_measure([1.0, 2.0], [0.0, np.inf]), r"log_ratio\[1\] is inf"),
        (lambda: calculus.kl_divergence([0.5, 0.6], [0.5, 0.5]), "p sums to 1.1"),
        (lambda: calculus.kl_divergence([0.5, 0.5], [1.5, -0.5]), r"q\[1\] is -0.5"),
        (lambda: calculus.kl_divergence([1.0], [0.5, 0.5]), "same outcomes"),
        (lambda: calculus.gaussian_log_odds([0.0], [1.0, 2.0], np.eye(2)), "mean0 has shape"),
        (lambda: calculus.gaussian_log_odds([0, 0], [1, 2], [[1, 2], [0, 1]]), "not symmetric"),
        (lambda: calculus.gaussian_log_odds([0, 0], [1, 2], [[1, 2], [2, 1]]), "not positive definite"),
    ],
)
def test_bad_input_is_told(call, words):
    with pytest.raises(DataError, match=words):
        call()


@given(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), st.lists(st.floats(0.01, 1), min_size=3, max_size=3))
def test_divergence_is_that_of_scipy_and_never_negative(p, q):
    p, q = np.array(p) / sum(p), np.array(q) / sum(q)
    assert calculus.kl_divergence(p, q) == pytest.approx(stats.entropy(p, q), rel=1e-9, abs=1e-14)
    assert calculus.kl_divergence(p, q) >= 0
    assert calculus.kl_divergence(p, p) == 0


def test_log_odds_of_gaussians_are_linear():
    rng = np.random.default_rng(2)
    A = rng.normal(size=(3, 3))
    C, m0, m1 = A @ A.T + np.eye(3), rng.normal(size=3), rng.normal(size=3)
    odds = calculus.gaussian_log_odds(m0, m1, C, prior1=0.2)
    x = rng.normal(size=(5, 3)) * 4
    direct = stats.multivariate_normal(m1, C).logpdf(x) - stats.multivariate_normal(m0, C).logpdf(x) + np.log(0.25)
    np.testing.assert_allclose(odds(x), direct, rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(calculus.gradient(lambda z: odds.slope @ z + odds.intercept, x[0]).value, odds.slope, rtol=1e-10)
    with pytest.raises(SpecificationError, match=r"prior1 is 1\.0"):
        calculus.gaussian_log_odds(m0, m1, C, prior1=1.0)
