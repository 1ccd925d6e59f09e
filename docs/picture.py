"""Draws the README's picture: ``python docs/picture.py``, a few minutes on one core.

Recurrent networks read handwritten digits row by row. Left, what the backward pass brings to one of them for one digit,
at three moments of training; right, all of them learning in one program.

Axis letters: S seeds, T time steps, N neurons.
"""

import pathlib

import jax
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

import bep_jax as bep

FILE = pathlib.Path(__file__).parent / "picture.png"
WIDTH, GROUP, SEEDS, EPOCHS = 105, 15, 50, 30
MOMENTS = (1, 5, EPOCHS)  # epochs after which the backward pass is shown
PLUS, MINUS, WINNER, SHUT, GREY, LINE = "#2166ac", "#d6604d", "#111111", "#f2f2f2", "#555555", "#4477aa"

data = bep.datasets.load("digits", window=8, num_bits=4)
pixels = bep.datasets.load("digits", raw=True).train_x.reshape(-1, 8, 8)
model = bep.rnn(num_inputs=data.num_inputs, state_width=WIDTH, output_width=WIDTH, num_classes=10)
rule = bep.Rule(gate=0.2, group_size=GROUP)


def train():
    """History of all seeds, and the parameters of the first at every moment."""
    kept = []

    def keep(report):
        if report.epoch in MOMENTS:
            kept.append(jax.tree.map(lambda a: np.asarray(a[0]), report.state.params))

    history = bep.fit(model, rule, data, epochs=EPOCHS, batch_size=20, seeds=SEEDS, callbacks=[keep]).history
    return history, kept


def signals(params):
    """For every training sample n: states and desired states ±1, gates ``[n, T, N]``; winners ``[n, N]``; active."""
    logits, residuals = bep.forward(model, params, data.train_x)
    found = bep.backward(model, rule, params, residuals, logits, data.train_y)
    desired, gates, winners = (np.asarray(bep.bits.unpack(a, num_bits=WIDTH)) for a in found.layers[0])
    states = np.where(np.moveaxis(residuals[0].preactivations, -1, 0) >= 0, 1, -1)
    return states, desired, gates > 0, winners > 0, np.asarray(found.active)


def draw(history, moments):
    """``moments``: per moment what `signals` returns."""
    sample = np.flatnonzero(np.all([active for *_, active in moments], axis=0))[0]  # learns at all of them
    figure = Figure(figsize=(12.0, 5.0), dpi=110, layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.75, 1.0))
    grid = left.add_gridspec(2, len(moments), height_ratios=(1.0, 6.5))
    left.suptitle("The error of one digit, on its way back through time", fontsize=12, fontweight="bold")
    for column, (epoch, (states, desired, gates, winners, _)) in enumerate(zip(MOMENTS, moments, strict=True)):
        axes = left.add_subplot(grid[0, column])
        axes.imshow(pixels[sample].reshape(1, 64), cmap="gray_r", aspect="auto", extent=(0.5, 8.5, 0, 1))
        axes.vlines(np.arange(1.5, 8), 0, 1, color="white", linewidth=2)
        axes.set_title(f"after epoch {epoch}", fontsize=10)
        axes.set(xticks=[], yticks=[], xlim=(0.5, 8.9))
        axes.spines[:].set_visible(False)

        axes = left.add_subplot(grid[1, column])
        wanted, shown, passes = (a[sample].T[..., None] for a in (desired, states, gates))
        colors = np.where(wanted > 0, to_rgb(PLUS), to_rgb(MINUS))
        colors = np.where(wanted == shown, 0.35 * colors + 0.65, colors)
        colors = np.where(passes, colors, to_rgb(SHUT))
        axes.imshow(colors, aspect="auto", interpolation="nearest", extent=(0.5, 8.5, WIDTH, 0))
        axes.hlines(np.arange(GROUP, WIDTH, GROUP), 0.5, 8.5, color="white", linewidth=1.5)
        axes.vlines(np.arange(1.5, 8), 0, WIDTH, color="white", linewidth=2)
        rows = np.flatnonzero(winners[sample]) + 0.5
        axes.plot(np.full(len(rows), 8.75), rows, "<", color=WINNER, markersize=5, clip_on=False)
        axes.set(xticks=range(1, 9), yticks=[], xlim=(0.5, 8.9), xlabel="time step")
        axes.tick_params(length=0, colors=GREY)
        axes.spines[:].set_visible(False)
    left.axes[1].set_ylabel(f"{WIDTH} neurons in groups of {GROUP}")
    handles = [Patch(color=PLUS), Patch(color=MINUS), Patch(facecolor=SHUT, edgecolor="#bbbbbb")]
    handles.append(Line2D([], [], color=WINNER, marker="<", linestyle="none", markersize=6))
    names = ("should be +1", "should be −1 (pale: it is)", "gate shut", "winners: these learn")
    left.legend(handles, names, loc="outside lower center", ncols=4, frameon=False, fontsize=9)

    axes = right.subplots()
    epochs = np.arange(1, EPOCHS + 1)
    accuracy = 100 * history["validation_accuracy"]
    axes.plot(epochs, accuracy.T, color=LINE, alpha=0.35, linewidth=0.9)
    axes.plot(epochs, accuracy.mean(0), color=LINE, linewidth=2.5)
    axes.set(xlabel="epoch", xlim=(1, EPOCHS), ylim=(0, 100))
    right.suptitle(f"{SEEDS} networks, one program: accuracy (%)", fontsize=12, fontweight="bold")
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    history, kept = train()
    draw(history, [signals(params) for params in kept]).savefig(FILE)
    print(f"wrote {FILE}: {FILE.stat().st_size:,} bytes")
