"""A glider flight: altitude, climb and climb acceleration with intervals, and how much climb-rate observations reduce the error.

Run it from the root of the repository: ``python examples/quickstart.py``. It writes ``quickstart.png`` beside itself.
"""

import warnings
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import smoothfit as sf

FEET_PER_MINUTE = 60.0
WINDOW = (3400.0, 5000.0)  # the stretch of the flight that is drawn, s
GAP, PERIOD = 120.0, 600.0  # every ten minutes, two minutes of altitudes are held out


def main() -> None:
    warnings.simplefilter("ignore", sf.errors.MisfitWarning)  # the notes of the summaries say the same
    df = sf.datasets.load_glider()
    df["climb_fts"] = df["vertical_rate_ftmin"] / FEET_PER_MINUTE
    altitude = sf.observe(df["time_s"], df["altitude_ft"])
    climb = sf.observe(df["time_s"], df["climb_fts"], deriv=1)

    alone = sf.SmoothingSpline(altitude, order=3).fit()
    both = sf.SmoothingSpline(altitude + climb, order=3).fit()
    print(alone.summary(), "\n")
    print(both.summary(), "\n")

    print_held_out(df)
    picture = Path(__file__).with_name("quickstart.png")
    draw(df, both).savefig(picture, dpi=150)
    print(f"\nPicture: {picture}")


def print_held_out(df) -> None:
    """Hide the altitudes of some minutes; predict them with and without the rates observed meanwhile."""
    hidden = (df["time_s"] % PERIOD) < GAP
    altitude = sf.observe(df["time_s"], df["altitude_ft"].where(~hidden))
    climb = sf.observe(df["time_s"], df["climb_fts"], deriv=1)
    truth = df.loc[hidden, "altitude_ft"]
    print(f"Altitude in gaps of {GAP:.0f} s ({hidden.sum()} held-out observations):")
    print(f"{'':28}{'RMS error (ft)':>16}{'interval (ft)':>16}{'inside obs_ci':>17}")
    for label, obs in (("altitude alone", altitude), ("altitude and vertical rate", altitude + climb)):
        prediction = sf.SmoothingSpline(obs, order=3).fit().get_prediction(df.loc[hidden, "time_s"])
        error = np.sqrt(np.mean((truth - prediction.predicted_mean) ** 2))
        width = np.mean(np.diff(prediction.conf_int(), axis=1))
        lower, upper = prediction.conf_int(obs=True).T
        inside = np.mean((truth >= lower) & (truth <= upper))
        print(f"{label:28}{error:16.1f}{width:16.1f}{inside:16.0%}")
    print("Fewer than 95 % are inside: the model has one smoothness for the whole flight, too much for a few rough gaps.")


def draw(df, res):
    """Altitude, climb and climb acceleration over the window, each with its pointwise 95 % intervals and its observations."""
    time = np.linspace(*WINDOW, 800)
    shown = df[df["time_s"].between(*WINDOW)]
    panels = [  # order, factor, title, observed
        (0, 1.0, "Altitude (ft)", shown["altitude_ft"]),
        (1, FEET_PER_MINUTE, "Climb (ft/min)", shown["vertical_rate_ftmin"]),
        (2, 1.0, "Climb acceleration (ft/s²)", None),
    ]
    figure, axes = plt.subplots(3, 1, figsize=(9, 9), sharex=True, layout="constrained")
    for ax, (deriv, factor, title, observed) in zip(axes, panels, strict=True):
        frame = factor * res.get_prediction(time, deriv=deriv).summary_frame()
        if observed is not None:
            ax.plot(shown["time_s"] / 60, observed, ".", color="0.35", markersize=4, label="observations", zorder=3)
        else:
            ax.axhline(0, color="0.6", linewidth=0.8)
        ax.fill_between(
            time / 60,
            frame["mean_ci_lower"],
            frame["mean_ci_upper"],
            color="C0",
            alpha=0.3,
            linewidth=0,
            label="pointwise 95 % interval",
        )
        ax.plot(time / 60, frame["mean"], color="C0", label="estimate")
        ax.set_ylabel(title)
        ax.spines[["top", "right"]].set_visible(False)
        ax.margins(x=0)
    axes[0].legend(frameon=False, loc="lower right", ncols=3)
    axes[0].set_title("A glider finds a thermal: altitude, climb and climb acceleration", loc="left")
    axes[-1].set_xlabel("Time since the first observation (min)")
    figure.align_ylabels(axes)
    return figure


if __name__ == "__main__":
    main()
