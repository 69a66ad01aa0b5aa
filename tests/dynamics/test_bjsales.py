"""Box & Jenkins' sales and leading indicator (tests/reference/bjsales.R)."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import smoothfit as sf
from smoothfit.errors import BiasWarning


def test_transfer_function_of_the_leading_indicator():
    data = pd.read_csv(Path(__file__).parents[1] / "reference" / "bjsales.csv")
    sales, lead, t = np.diff(data["sales"]), np.diff(data["lead"]), data["time"].to_numpy()[1:].astype(float)
    with pytest.warns(BiasWarning, match="residuals that alternate"):
        res = sf.DerivativeRegression(sales, t, lead, delay=2).fit("output_error")
    discrete = res.discrete_params["coef"]
    # conditional least squares with a moving average of the noise: delta .7259 (.0040), omega 4.700 (.054); here the noise is white
    assert discrete["y.L1"] == pytest.approx(0.7259, abs=0.0040)
    assert discrete["u.L1"] == pytest.approx(4.700, abs=0.054)
