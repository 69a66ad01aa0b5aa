"""Summaries as statsmodels prints them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

import numpy as np
import pandas as pd
from statsmodels.iolib import summary2
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
LATEX = str.maketrans(
    {character: rf"\{character}" for character in "_%&#${}"}
    | {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}
)


def number(value: float) -> str:
    """A number with five significant digits; a dash if there is none."""
    return "-" if np.isnan(value) else f"{value:.5g}"


def criteria(results: Likelihood) -> list[tuple[str, str]]:
    """AIC and BIC; dashes after a fit that does not maximise the likelihood they are of, since they are not to be compared then."""
    comparable = results._maximises_likelihood
    return [("AIC:", number(results.aic) if comparable else "-"), ("BIC:", number(results.bic) if comparable else "-")]


class FitSummary(Summary):  # type: ignore[misc]
    """A summary of a fit: as text that of statsmodels; as HTML and LaTeX whatever characters names have."""

    def __init__(self, title: str, facts: Sequence[tuple[str, str]], tables: Sequence[pd.DataFrame], notes: Sequence[str]):
        super().__init__()
        self.title, self.facts, self.frames, self.notes = title, list(facts), [table for table in tables if len(table)], list(notes)
        self.tables = self._simple_tables(str)
        self.add_extra_txt(self.notes)

    @property
    def _top(self) -> list[list[str]]:
        """The facts in two columns: label, value, label, value."""
        half = (len(self.facts) + 1) // 2
        right = self.facts[half:] + [("", "")] * (2 * half - len(self.facts))
        return [[*one, *other] for one, other in zip(self.facts[:half], right, strict=True)]

    def _simple_tables(self, escaped: Callable[[str], str]) -> list[SimpleTable]:
        """Tables of statsmodels with escaped cells."""
        top = [[escaped(cell) for cell in row] for row in self._top]
        cells, stubs = [row[1:] for row in top], [row[0] for row in top]
        tables = [SimpleTable(cells, headers=None, stubs=stubs, title=escaped(self.title), txt_fmt=FACTS)]
        for frame in self.frames:
            cells = [[escaped(cell) for cell in row] for row in frame.astype(str).to_numpy().tolist()]
            headers, stubs = ([escaped(str(name)) for name in axis] for axis in (frame.columns, frame.index))
            tables.append(SimpleTable(cells, headers=headers, stubs=stubs, txt_fmt=fmt_params))
        return tables

    def as_html(self) -> str:
        """Return tables and notes as HTML."""
        tables = "".join(table.as_html() for table in self._simple_tables(escape))
        return f"{tables}<br/><br/>" + "<br/>".join(map(escape, self.notes))

    def as_latex(self) -> str:
        """Return tables and notes as LaTeX, which needs the package booktabs."""
        lines = [r"\begin{center}", rf"\textbf{{{in_latex(self.title)}}}", "", r"\begin{tabular}{llll}", r"\toprule"]
        lines += [_latex_row(row) for row in self._top]
        lines += [r"\bottomrule", r"\end{tabular}"]
        for frame in self.frames:
            rows = zip(frame.index, frame.astype(str).to_numpy().tolist(), strict=True)
            lines += ["", rf"\begin{{tabular}}{{l{'r' * frame.shape[1]}}}", r"\toprule"]
            lines += [_latex_row(["", *frame.columns]), r"\midrule", *(_latex_row([name, *row]) for name, row in rows)]
            lines += [r"\bottomrule", r"\end{tabular}"]
        lines += [r"\end{center}", "", " \\newline\n".join(map(in_latex, self.notes))]
        return "\n".join(lines)

    def as_summary2(self) -> summary2.Summary:
        """Return the same in the other format of statsmodels."""
        found = _Summary2()
        found.of = self
        found.add_title(self.title)
        found.add_dict(dict(self.facts))
        for frame in self.frames:
            found.add_df(frame)
        for note in self.notes:
            found.add_text(note)
        return found


class _Summary2(summary2.Summary):  # type: ignore[misc]
    """A summary whose HTML and LaTeX are those of `FitSummary`."""

    of: FitSummary

    def as_html(self) -> str:
        """Return tables and notes as HTML."""
        return self.of.as_html()

    def as_latex(self, label: str = "") -> str:
        """Return a captioned table as LaTeX, which needs the package booktabs."""
        lines = [r"\begin{table}", rf"\caption{{{in_latex(self.of.title)}}}", rf"\label{{{label}}}"]
        lines += [self.of.as_latex(), r"\end{table}"]
        return "\n".join(lines)


def in_latex(text: object) -> str:
    """Text as LaTeX prints it."""
    return str(text).translate(LATEX)


def _latex_row(cells: Sequence[object]) -> str:
    first, *others = map(in_latex, cells)
    first = "{}" + first if first.startswith(("[", "*")) else first  # else an option of the row above
    return " & ".join([first, *others]) + r" \\"


def curve_summary(
    title: str, facts: Sequence[tuple[str, str]], readings: pd.DataFrame, params: pd.DataFrame, notes: Sequence[str]
) -> FitSummary:
    """Assemble a summary: facts in two columns, a table of observations, one of parameters, notes."""
    return FitSummary(title, facts, [readings, params], notes)
