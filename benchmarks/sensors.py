"""Coverage of 95 % intervals of what `observe` estimates of a series, and warnings of what it ignores.

python benchmarks/sensors.py [samples] [design ...]

Two sensors of a sine, 200 observations each at random x, with noise of SD 0.3; what the second one differs by is estimated, or
ignored.
"""

import sys
import warnings

import numpy as np

import smoothfit as sf

N, SD = 200, 0.3


def bias(rng, deriv=0):
    """Model of values beside values, or slopes, with a bias of 1.5; its parameter and the truth."""
    x, z = np.sort(rng.uniform(0, 12, (2, N)), axis=1)
    curve = np.cos(z) if deriv else np.sin(z)
    first = sf.observe(x, np.sin(x) + SD * rng.standard_normal(N), name="a")
    second = sf.observe(z, curve + 1.5 + SD * rng.standard_normal(N), deriv, name="b", bias="estimate")
    return sf.SmoothingSpline(first + second, order=3), "bias.b", 1.5


def scale(rng):
    """Model of values beside values with a scale of 2.5; its parameter and the truth."""
    x, z = np.sort(rng.uniform(0, 12, (2, N)), axis=1)
    first = sf.observe(x, np.sin(x) + SD * rng.standard_normal(N), name="a")
    second = sf.observe(z, 2.5 * np.sin(z) + SD * rng.standard_normal(N), name="b", scale="estimate")
    return sf.SmoothingSpline(first + second, order=3), "scale.b", 2.5


def lag(rng):
    """Model of values beside values that are late by 0.5; its parameter and the truth."""
    x, z = np.sort(rng.uniform(0, 12, (2, N)), axis=1)
    first = sf.observe(x, np.sin(x) + SD * rng.standard_normal(N), name="a")
    second = sf.observe(z, np.sin(z - 0.5) + SD * rng.standard_normal(N), name="b", lag="estimate")
    return sf.SmoothingSpline(first + second, order=3), "lag.b", 0.5


def correlation(rng):
    """Model of values and slopes that are observed together, with noise of correlation 0.6; its parameter and the truth."""
    x, noise = np.sort(rng.uniform(0, 12, N)), SD * rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], N)
    obs = sf.observe(x, np.sin(x) + noise[:, 0], name="a") + sf.observe(x, np.cos(x) + noise[:, 1], 1, name="b")
    return sf.SmoothingSpline(obs, order=3, covariances={("a", "b"): "estimate"}), "correlation.a.b", 0.6


def response(rng, deriv=0, tau=0.5, basis=None):
    """Model of values beside values, or slopes, by an instrument that was just switched on; its parameter and the truth."""
    x, z = np.sort(rng.uniform(0, 12, (2, N)), axis=1)
    shown = (np.cos(z) + tau * np.sin(z) if deriv else np.sin(z) - tau * np.cos(z)) / (1 + tau**2)
    shown += rng.standard_normal() * np.exp((z[0] - z) / tau)
    first = sf.observe(x, np.sin(x) + SD * rng.standard_normal(N), name="a")
    second = sf.observe(z, shown + SD * rng.standard_normal(N), deriv, name="b", response_time="estimate")
    obs = first + second
    model = sf.SmoothingSpline(obs, order=3) if basis is None else sf.SplineRegression(obs, basis, sf.DerivativePenalty(3))
    return model, "response_time.b", tau


DESIGNS = {
    "bias of values": bias,
    "bias of slopes": lambda rng: bias(rng, 1),
    "scale": scale,
    "lag": lag,
    "correlation": correlation,
    "response": response,
    "response of slopes": lambda rng: response(rng, 1),
    "response of a regression": lambda rng: response(rng, basis=sf.BSplineBasis.uniform(0, 12, 12)),
}


def coverage(design, samples):
    """Fraction of samples whose interval covers the truth, root mean square error over mean standard error, mean length."""
    inside, errors, ses, lengths = [], [], [], []
    for seed in range(samples):
        model, name, truth = design(np.random.default_rng(seed))
        res = model.fit()
        if isinstance(model, sf.SplineRegression):
            estimate, se, low, high = res.sensor_params.loc[name]
        else:
            estimate, se, low, high = res.params[name], res.bse[name], *res.conf_int().loc[name]
        inside.append(low <= truth <= high)
        errors.append(estimate - truth)
        ses.append(se)
        lengths.append(high - low)
    return np.mean(inside), np.sqrt(np.mean(np.square(errors))) / np.mean(ses), np.mean(lengths)


def of_regression(samples):
    """Coverage, RMS error over mean SE and length, (2,) each, of a scale of 2.5 and a lag of 0.5 in a SplineRegression."""
    truth, rows = np.array([2.5, 0.5]), []
    for seed in range(0, 2 * samples, 2):
        rng = np.random.default_rng(seed)
        x, z = np.sort(rng.uniform(0, 12, (2, N)), axis=1)
        first = sf.observe(x, np.sin(x) + SD * rng.standard_normal(N), name="a")
        y = 2.5 * np.sin(z - 0.5) + SD * rng.standard_normal(N)
        second = sf.observe(z, y, name="b", scale="estimate", lag=(-2, 2))
        basis = sf.BSplineBasis.uniform(-2, 14, 16)
        rows.append(sf.SplineRegression(first + second, basis, sf.DerivativePenalty(3)).fit().sensor_params.to_numpy())
    estimate, se, low, high = np.moveaxis(rows, 2, 0)
    inside = (low <= truth) & (truth <= high)
    return inside.mean(axis=0), np.sqrt(np.mean((estimate - truth) ** 2, axis=0)) / se.mean(axis=0), (high - low).mean(axis=0)


def warned(offset, factor, late, n, samples):
    """Fraction of fits of two sensors with n observations each that name a bias, a scale, a lag, any of them."""
    kinds = []
    for seed in range(samples):
        rng = np.random.default_rng(seed)
        x, z = np.sort(rng.uniform(0, 12, (2, n)), axis=1)
        first = sf.observe(x, np.sin(x) + SD * rng.standard_normal(n), name="a")
        second = sf.observe(z, factor * np.sin(z - late) + offset + SD * rng.standard_normal(n), name="b")
        kinds.append({one.kind for one in sf.SmoothingSpline(first + second, order=3).fit().misfits})
    return [np.mean([bool(own & asked) for own in kinds]) for asked in ({"bias"}, {"scale"}, {"lag"}, {"bias", "scale", "lag"})]


def growing(growth, samples):
    """Coverage of a curve from 0.2 to 4.5 with noise of a tenth of it, low and high, and of new observations; RMS error."""
    x_new, found = np.linspace(0.2, 11.8, 60), []
    truth = np.exp(1.5 * np.sin(x_new))
    for seed in range(samples):
        rng = np.random.default_rng(seed)
        x = np.sort(rng.uniform(0, 12, 2 * N))
        y = np.exp(1.5 * np.sin(x)) * (1 + 0.1 * rng.standard_normal(2 * N))
        prediction = sf.SmoothingSpline(sf.observe(x, y, noise_growth=growth), order=3).fit().get_prediction(x_new)
        (low, high), (least, most) = prediction.conf_int().T, prediction.conf_int(obs=True).T
        inside, new = (low <= truth) & (truth <= high), truth * (1 + 0.1 * rng.standard_normal(60))
        own = [inside[truth < 1].mean(), inside[truth > 1].mean(), np.mean((least <= new) & (new <= most))]
        found.append([*own, np.mean((prediction.predicted_mean - truth) ** 2)])
    means = np.mean(found, axis=0)
    return [*means[:3], np.sqrt(means[3])]


if __name__ == "__main__":
    warnings.simplefilter("ignore", sf.errors.MisfitWarning)
    samples, chosen = int(sys.argv[1]) if len(sys.argv) > 1 else 100, sys.argv[2:]
    for n in () if chosen and "warned" not in chosen else (15, 60):
        for design in ((0.0, 1.0, 0.0), (0.3, 1.0, 0.0), (1.5, 1.0, 0.0), (0.0, 0.5, 0.0), (0.0, 1.0, 0.2), (0.0, 1.0, 0.5)):
            rates = warned(*design, n, 3 * samples)
            print(
                "n = {}, offset {}, factor {}, lag {}: bias {:.3f}, scale {:.3f}, lag {:.3f}, any {:.3f}".format(
                    n, *design, *rates
                ),
                flush=True,
            )
    for label, design in DESIGNS.items():
        if chosen and label not in chosen:
            continue
        print(
            "{}: coverage {:.3f}, RMS error / mean SE {:.2f}, mean length {:.3f}".format(label, *coverage(design, samples)),
            flush=True,
        )
    if not chosen or "regression" in chosen:
        for label, *found in zip(("scale", "lag"), *of_regression(samples), strict=True):
            print("{} of a regression: coverage {:.3f}, RMS error / mean SE {:.2f}, mean length {:.3f}".format(label, *found))
    for label, growth in {"noise_growth=1": 1.0, "constant SD": None}.items():
        if not chosen or "growth" in chosen:
            print(
                "{}: coverage of f below 1 {:.3f}, above 1 {:.3f}, of new observations {:.3f}; RMS error {:.4f}".format(
                    label, *growing(growth, samples)
                ),
                flush=True,
            )
