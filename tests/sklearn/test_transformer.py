import numpy as np
import pandas as pd
import pytest
import sklearn.preprocessing
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from smoothfit.errors import DataError, KnotError, SpecificationError
from smoothfit.sklearn import SplineTransformer

RNG = np.random.default_rng(5)
X = RNG.gamma(2.0, size=(60, 2)) * [1.0, 30.0]
ENDS = np.array([X.min(axis=0), X.max(axis=0)])
OUTSIDE = ENDS + np.array([[-0.3, -5.0], [0.7, 11.0]])
BEYOND = np.vstack([X, OUTSIDE, ENDS])
GIVEN = np.column_stack([[-1.0, 0.0, 0.5, 2.0, 4.0, 12.0], [-10.0, 1.0, 20.0, 30.0, 60.0, 400.0]])


@parametrize_with_checks(
    [
        SplineTransformer(),
        SplineTransformer(extrapolation="periodic", include_bias=False, order="F"),
        SplineTransformer(boundary="natural", extrapolation="linear", sparse_output=True, handle_missing="zeros"),
    ]
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


# For "constant" of degree 0, and "linear" of degrees 0 and 1 with several columns, scikit-learn's class fails beyond the knots.
COMMON = [(0, "continue"), (0, "periodic"), *((d, e) for d in (2, 3, 5) for e in ("constant", "linear", "continue", "periodic"))]
COMMON += [(1, "constant"), (1, "continue"), (1, "periodic")]


@pytest.mark.parametrize(("degree", "extrapolation"), COMMON)
@pytest.mark.parametrize("knots", ["uniform", "quantile", "given"])
def test_features_equal_those_of_scikit_learn(degree, extrapolation, knots):
    options = {"n_knots": 7, "degree": degree, "knots": knots, "extrapolation": extrapolation}
    options |= {"knots": GIVEN} if knots == "given" else {}
    for include_bias in (True, False):
        ours = SplineTransformer(**options, include_bias=include_bias).fit(X)
        theirs = sklearn.preprocessing.SplineTransformer(**options, include_bias=include_bias).fit(X)
        expected = theirs.transform(BEYOND)
        np.testing.assert_allclose(ours.transform(BEYOND), expected, rtol=0, atol=2e-12 * np.abs(expected).max())
        assert ours.n_features_out_ == theirs.n_features_out_
        assert list(ours.get_feature_names_out()) == list(theirs.get_feature_names_out())


@pytest.mark.parametrize("knots", ["uniform", "quantile"])
def test_weighted_features_equal_those_of_scikit_learn(knots):
    weights = RNG.uniform(size=60)
    weights[[0, np.argmax(X[:, 0]), np.argmin(X[:, 1])]] = 0.0
    ours = SplineTransformer(knots=knots).fit(X, sample_weight=weights)
    theirs = sklearn.preprocessing.SplineTransformer(knots=knots).fit(X, sample_weight=weights)
    np.testing.assert_allclose(ours.transform(BEYOND), theirs.transform(BEYOND), rtol=0, atol=1e-13)
    assert not np.allclose(ours.transform(X), SplineTransformer(knots=knots).fit_transform(X))


def test_quantiles_may_repeat_an_inner_knot():
    repeated = np.append(X[:, 0], np.full(60, 1.5))[:, None]
    ours, theirs = SplineTransformer(knots="quantile"), sklearn.preprocessing.SplineTransformer(knots="quantile")
    np.testing.assert_allclose(ours.fit_transform(repeated), theirs.fit_transform(repeated), rtol=0, atol=1e-13)
    assert len(np.unique(ours.bases_[0].knots)) < len(ours.bases_[0].knots)
    with pytest.raises(KnotError, match="bring its quantiles together"):
        SplineTransformer(knots="quantile").fit(np.array([0.0, 0.0, 0.0, 0.0, 1.0])[:, None])


def test_sparse_single_and_ordered_output():
    dense = SplineTransformer().fit_transform(X)
    sparse = SplineTransformer(sparse_output=True).fit_transform(X)
    assert issparse(sparse)
    assert sparse.nnz <= X.size * 4
    np.testing.assert_array_equal(sparse.toarray(), dense)
    single = SplineTransformer(order="F").fit_transform(X.astype(np.float32))
    assert single.dtype == np.float32
    assert single.flags.f_contiguous
    np.testing.assert_allclose(single, dense, atol=1e-5)


@pytest.mark.parametrize("sparse_output", [False, True])
def test_missing_values_are_rows_of_zeros(sparse_output):
    missing = X.copy()
    missing[3, 0] = missing[5, 1] = np.nan
    features = SplineTransformer(handle_missing="zeros", sparse_output=sparse_output).fit(missing)
    found = features.transform(missing)
    found = found.toarray() if sparse_output else found
    assert not found[3, :7].any()
    assert not found[5, 7:].any()
    kept = np.delete(np.arange(60), [3, 5])
    np.testing.assert_array_equal(found[kept], SplineTransformer().fit(np.delete(X, [3, 5], axis=0)).transform(X)[kept])
    with pytest.raises(ValueError, match="NaN"):
        SplineTransformer().fit(missing)


@pytest.mark.parametrize(
    ("boundary", "extrapolation"),
    [("free", "constant"), ("free", "linear"), ("free", "continue"), ("free", "periodic"), ("natural", "linear")],
)
def test_derivatives_are_limits_of_differences(boundary, extrapolation):
    features = SplineTransformer(boundary=boundary, extrapolation=extrapolation).fit(X)
    inner = np.column_stack([np.linspace(*np.quantile(X[:, j], [0.03, 0.97]), 17) for j in range(2)])
    points = np.vstack([inner, OUTSIDE])
    step = 1e-5 * np.array([1.0, 30.0])
    for order in (0, 1):
        differences = features.derivative(points + step, order) - features.derivative(points - step, order)
        scale = np.repeat(2 * step, features.n_features_out_ // 2)
        np.testing.assert_allclose(features.derivative(points, order + 1), differences / scale, atol=1e-7, rtol=1e-4)


def test_natural_features_are_straight_at_both_ends():
    features = SplineTransformer(boundary="natural", extrapolation="linear").fit(X)
    assert features.n_features_out_ == 10
    assert abs(features.derivative(ENDS, 2)).max() < 1e-13
    assert abs(features.derivative(X, 2)).max() > 0.1
    assert abs(features.derivative(OUTSIDE, 2)).max() == 0.0


@pytest.mark.parametrize("options", [{}, {"boundary": "natural"}, {"extrapolation": "periodic"}])
@pytest.mark.parametrize("include_bias", [True, False])
def test_the_penalty_is_the_integral_of_the_squared_derivative(options, include_bias):
    features = SplineTransformer(**options, include_bias=include_bias).fit(X)
    coef = RNG.standard_normal(features.n_features_out_)
    expected, first = 0.0, 0
    for j, basis in enumerate(features.bases_):
        n = features.n_features_out_ // 2
        nodes, weights = np.polynomial.legendre.leggauss(3)
        lower, width = basis.domain[0], np.diff(basis.domain)[0] / 4  # of a piece
        x = (lower + width * (np.arange(4)[:, None] + (nodes + 1) / 2)).ravel()
        points = np.tile(X.mean(axis=0), (len(x), 1))
        points[:, j] = x
        curvature = features.derivative(points, 2)[:, first : first + n] @ coef[first : first + n]
        expected += np.tile(weights, 4) @ curvature**2 * width / 2
        first += n
    assert coef @ (features.penalty(2) @ coef) == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_pipelines_frames_and_grids(kind):
    frame = pd.DataFrame(X, columns=["a", "b"])
    y = np.sin(X[:, 0]) + 0.01 * X[:, 1]
    splines = ColumnTransformer([("spline", SplineTransformer(), ["a"])], remainder="passthrough").set_output(transform=kind)
    table = splines.fit_transform(frame)
    assert list(table.columns) == [f"spline__a_sp_{k}" for k in range(7)] + ["remainder__b"]
    pipe = make_pipeline(clone(splines), LinearRegression())
    search = GridSearchCV(pipe, {"columntransformer__spline__n_knots": [2, 6]}, cv=3).fit(frame, y)
    assert search.best_params_ == {"columntransformer__spline__n_knots": 6}
    assert search.score(frame, y) > 0.99


def test_slopes_of_a_linear_model():
    x = np.linspace(0, 3, 200)[:, None]
    pipe = make_pipeline(SplineTransformer(n_knots=12), Ridge(alpha=1e-8)).fit(x, np.sin(x[:, 0]))
    np.testing.assert_allclose(pipe[0].derivative(x) @ pipe[-1].coef_, np.cos(x[:, 0]), atol=3e-3)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"n_knots": 1}, SpecificationError, "n_knots is 1"),
        ({"degree": -1}, SpecificationError, "degree"),
        ({"knots": "even"}, SpecificationError, "knots"),
        ({"knots": [[0.0, 0.0], [1.0, 0.0]]}, KnotError, r"knots\[1, 1\] = 0.0 does not exceed"),
        ({"knots": [[0.0], [1.0]]}, DataError, "knots has 1 columns and X 2"),
        ({"extrapolation": "periodic", "n_knots": 3}, KnotError, "too few for periodic"),
        ({"boundary": "natural", "degree": 2}, SpecificationError, "boundary"),
        ({"boundary": "clamped"}, SpecificationError, "boundary"),
        ({"handle_missing": "mean"}, SpecificationError, "handle_missing"),
    ],
)
def test_options_out_of_range(options, error, match):
    with pytest.raises(error, match=match):
        SplineTransformer(**options).fit(X)


def test_data_that_cannot_be_transformed():
    with pytest.raises(KnotError, match="column 1 of X has fewer than two distinct values"):
        SplineTransformer().fit(np.column_stack([X[:, 0], np.ones(60)]))
    features = SplineTransformer(extrapolation="error").fit(X)
    np.testing.assert_array_equal(features.transform(X), SplineTransformer().fit_transform(X))
    with pytest.raises(DataError, match=r"X\[60, 0\]"):
        features.transform(BEYOND)
