"""Summaries as statsmodels prints them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from statsmodels.iolib.summary import Summary
from statsmodels.iolib.table import SimpleTable
from statsmodels.iolib.tableformatting import fmt_params

from .protocols import Likelihood

FACTS = {  # layout of the table on top: label, value, label, value
    "fmt": "txt",
    "data_fmts": ["%s"],
    "data_aligns": "rlr",
    "stub_fmt": "%s",
    "stub_align": "l",
    "stubs_align": "l",
    "title_align": "c",
    "colsep": "   ",
    "row_pre": "",
    "row_post": "",
    "empty_cell": "",
    "table_dec_above": "=",
    "table_dec_below": "=",
    "header_dec_below": None,
}


def number(value: float) -> str:
    """A number with five significant digits; a dash where there is none."""
    return "-" if np.isnan(value) else f"{value:.5g}"


def criteria(results: Likelihood) -> list[tuple[str, str]]:
    """AIC and BIC; dashes after a fit that does not maximise the likelihood they are of, since they are not to be compared then."""
    comparable = results._maximises_likelihood
    return [("AIC:", number(results.aic) if comparable else "-"), ("BIC:", number(results.bic) if comparable else "-")]


def curve_summary(
    title: str, facts: Sequence[tuple[str, str]], readings: pd.DataFrame, params: pd.DataFrame, notes: Sequence[str]
) -> Summary:
    """Assemble a Summary: facts in two columns, a table of observations, one of parameters, notes."""
    half = (len(facts) + 1) // 2
    left, right = list(facts[:half]), list(facts[half:])
    right += [("", "")] * (half - len(right))
    cells = [[value, label, other] for (_, value), (label, other) in zip(left, right, strict=True)]
    stubs = [label for label, _ in left]
    top = SimpleTable(cells, headers=None, stubs=stubs, title=title, txt_fmt=FACTS)
    summary = Summary()
    summary.tables.append(top)
    for table in (readings, params):
        if len(table):
            cells = table.astype(str).to_numpy().tolist()
            summary.tables.append(
                SimpleTable(cells, headers=list(table.columns), stubs=list(map(str, table.index)), txt_fmt=fmt_params)
            )
    summary.add_extra_txt(list(notes))
    return summary
