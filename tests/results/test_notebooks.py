"""What notebooks and terminals show: tables in HTML and LaTeX, progress bars, logs."""

import logging
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

import smoothfit as sf

N = 40
X = np.arange(N) * 1.0
NAME = "a_<b>&5%^2|$#{}~\\"
FRAME = pd.DataFrame({"t_s": X, NAME: np.sin(X / 6) + 0.1 * np.random.default_rng(0).standard_normal(N)})
DECAY = pd.Series(np.exp(-X / 8) + 0.02 * np.random.default_rng(1).standard_normal(N), name=NAME)
OBSERVATIONS = sf.Observations.from_frame(FRAME, "t_s", {NAME: 0})
BASIS = sf.BSplineBasis.uniform(0, N, 8)


class Table(HTMLParser):
    """Checks that tags are closed, and collects text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.cells = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        if tag not in ("br", "style"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("br", "style"):
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.cells.append(data.strip())


def check_latex(text):
    """Environments are closed, rows of a table have as many cells, and no character has a meaning of its own."""
    assert re.findall(r"\\begin\{(\w+)\}", text).count("tabular") == text.count(r"\end{tabular}") > 0
    for columns, body in re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", text, flags=re.DOTALL):
        for row in re.findall(r"^(.*) \\\\$", body, flags=re.MULTILINE):
            assert len(re.findall(r"(?<!\\)&", row)) == len(columns) - 1
    bare = re.sub(r"\\[_%&#${}]|\\(textbackslash|text\w+)\{\}|\\\w+(\{[^{}]*\})*|\\\\", "", text)
    assert not re.search(r"[_%#$^~\\<>|]", bare)


@pytest.fixture(
    scope="module",
    params=[
        lambda: sf.SmoothingSpline(OBSERVATIONS).fit(),
        lambda: sf.SplineRegression(OBSERVATIONS, BASIS, sf.DerivativePenalty(2)).fit(),
        lambda: sf.GaussianProcess(OBSERVATIONS, kernel=sf.gp.Matern52(length_scale=5, amplitude=1)).fit(),
        lambda: sf.DerivativeRegression(DECAY, FRAME["t_s"]).fit("output_error"),
    ],
    ids=["spline", "regression", "process", "equation"],
)
def results(request):
    return request.param()


def test_summaries_are_valid_in_every_format(results):
    summary, other = results.summary(), results.summary2()
    check_latex(summary.as_latex())
    check_latex(other.as_latex())
    for page in (summary.as_html(), other.as_html(), results._repr_html_()):
        cells = Table(page).cells
        assert any(cell.endswith(NAME) for cell in cells)
        assert f"{results.params.iloc[-1]:.5g}" in cells
    assert f"{results.params.iloc[-1]:.5g}" in other.as_text()
    assert summary.as_text().splitlines()[0].strip() == other.as_text().splitlines()[0].strip() == summary.title


@pytest.mark.parametrize(
    ("shown", "cell"),
    [
        (lambda: OBSERVATIONS, NAME),
        (lambda: sf.observe([[0.0, 1.0]], [1.0], name=NAME), NAME),
        (lambda: sf.SmoothingSpline(OBSERVATIONS).fit(lam=1.0).get_prediction(X), "mean_se"),
        (lambda: sf.SmoothingSpline(OBSERVATIONS).fit(lam=1.0).get_influence(), "hat_diag"),
        (lambda: sf.fit_curves(FRAME.assign(id=NAME), "id", "t_s", {NAME: 0}), NAME),
        (lambda: sf.compare_methods(sf.DerivativeRegression(FRAME[NAME], FRAME["t_s"]), methods=["arx", "difference"]), NAME),
        (lambda: sf.DerivativeRegression(FRAME[NAME], FRAME["t_s"]).fit("arx").bootstrap(3, rng=0), NAME),
        (lambda: sf.SplineRegression(OBSERVATIONS, sf.BSplineBasis.uniform(X[0], X[-1], 6)).fit().bootstrap([X[3]], size=9), "bse"),
    ],
    ids=["observations", "points", "prediction", "influence", "curves", "comparison", "replications", "draws"],
)
@pytest.mark.filterwarnings("ignore::smoothfit.errors.SmoothfitWarning")  # a wave is no first-order equation
def test_objects_show_themselves_as_tables(shown, cell):
    assert cell in Table(shown()._repr_html_()).cells


def test_bars_show_progress_where_asked(capsys):
    frame = pd.DataFrame({"id": [1, 1, 1, 2, 2, 2], "x": [0.0, 1, 2] * 2, "y": [0.0, 2, 1] * 2})
    sf.fit_curves(frame, by="id", x="x", readings={"y": 0}, sd={"y": 0.1}, progress=True)
    assert "2/2" in capsys.readouterr().err
    peak = sf.observe(X, np.exp(-(((X - 15) / 9) ** 2)), sd=0.1) + sf.observe(X, np.exp(-(((X - 28) / 5) ** 2)), sd=0.1)
    model = sf.SplineRegression(peak, BASIS, sf.DerivativePenalty(2), sf.Unimodal())
    model.fit(lam=1.0, progress=True)
    assert "interval" in capsys.readouterr().err
    model.fit(lam=1.0)
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("fit", "iteration"),
    [
        (lambda: sf.SmoothingSpline(OBSERVATIONS).fit(), "iteration|secant"),
        (lambda: sf.SmoothingSpline(OBSERVATIONS, prior=sf.priors.Matern(1.5)).fit(), "iteration"),
        (lambda: sf.SplineRegression(OBSERVATIONS, BASIS, sf.DerivativePenalty(2)).fit(), "iteration"),
        (lambda: sf.GaussianProcess(X, FRAME[NAME], sf.gp.Matern52()).fit(), "criterion"),
        (lambda: sf.DerivativeRegression(FRAME[NAME], X, order=2).fit("kalman"), "iteration"),
    ],
    ids=["spline", "prior", "regression", "process", "equation"],
)
@pytest.mark.filterwarnings("ignore::smoothfit.errors.SmoothfitWarning")
def test_the_log_tells_of_searches(fit, iteration, caplog):
    with caplog.at_level(logging.DEBUG, logger="smoothfit"):
        fit()
    told = {
        level: " / ".join(r.getMessage() for r in caplog.records if r.levelno == level) for level in (logging.INFO, logging.DEBUG)
    }
    assert f"of {N} observations" in told[logging.INFO]
    assert re.search(r"(converged|ended).*criterion [-\d.e]+", told[logging.INFO])
    assert re.search(iteration, told[logging.DEBUG])


def test_the_log_is_silent_by_default():
    handlers = logging.getLogger("smoothfit").handlers
    assert [type(handler) for handler in handlers] == [logging.NullHandler]
