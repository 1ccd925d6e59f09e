"""Figures 4 to 7, and what the paper lacks: depth, initial scale and bits of the hidden weights."""

import dataclasses
from typing import Annotated

import numpy as np
from tyro.conf import arg

from bep_jax.reproduce import report
from bep_jax.reproduce.sweep import Found, Sweep


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure4(Sweep):
    """Figure 4: the gate ν, by width and depth."""

    axis = "gate"
    layers: Annotated[tuple[int, ...], arg(metavar="L [L ...]")] = (3, 5)
    """How many layers."""
    gates: Annotated[tuple[float, ...], arg(metavar="NU [NU ...]")] = (0.01, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
    """ν."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure5(Sweep):
    """Figure 5: the margin r, by width."""

    axis = "margin"
    margins: Annotated[tuple[float, ...], arg(metavar="R [R ...]")] = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
    """r."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure6(Sweep):
    """Figure 6: reinforcement p_r, by width."""

    axis = "reinforcement"
    reinforcements: Annotated[tuple[float, ...], arg(metavar="P [P ...]")] = (0.1, 0.25, 0.5, 0.75, 1.0)
    """p_r."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure7(Sweep):
    """Figure 7: the first group size γ, growing; the picture shows the way there."""

    axis = "group_size"
    layer_widths: Annotated[tuple[int, ...], arg(metavar="N [N ...]")] = (525,)
    """Widths, each for all layers."""
    group_sizes: Annotated[tuple[int, ...] | None, arg(metavar="N [N ...]")] = (15, 35, 75, 105, 175)
    """γ at the start."""
    patience: Annotated[int, arg(metavar="EPOCHS")] = 5
    """Groups grow after so many epochs without a better validation accuracy; 0 for never."""
    epochs: Annotated[int, arg(metavar="N")] = 50
    """Passes over the training samples."""

    def _picture(self, found: Found) -> bytes:
        panels: dict[str, tuple[report.Lines, report.Points]] = {}
        for panel, lines in found.items():
            curves: report.Lines = {}
            for line, values in lines.items():
                for size, records in sorted(values.items()):
                    mean = 100 * np.mean([r["history"]["validation_accuracy"] for r in records], axis=0)
                    curves[f"{line}, γ from {size:g}"] = {e: (float(a), 0.0) for e, a in enumerate(mean, 1)}
            panels[panel] = (curves, {})
        return report.panels_picture(panels, "epoch")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Depth(Sweep):
    """Depth, by gate ν."""

    axis, line = "depth", "gate"
    layer_widths: Annotated[tuple[int, ...], arg(metavar="N [N ...]")] = (255,)
    """Widths, each for all layers."""
    layers: Annotated[tuple[int, ...], arg(metavar="L [L ...]")] = (2, 3, 5, 10)
    """How many layers."""
    gates: Annotated[tuple[float, ...], arg(metavar="NU [NU ...]")] = (0.03, 0.1, 0.2, 0.4)
    """ν."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scale(Sweep):
    """The initial scale σ of the hidden weights, by width."""

    axis = "scale"
    scales: Annotated[tuple[float, ...], arg(metavar="SIGMA [SIGMA ...]")] = (4.0, 16.0, 64.0, 256.0, 1024.0)
    """Standard deviation of the initial hidden weights."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bits(Sweep):
    """Bits of a hidden weight, by width."""

    axis = "bits"
    hidden_bits: Annotated[tuple[int, ...], arg(metavar="N [N ...]")] = (8, 10, 12, 16)
    """Bits of a hidden weight, 8 to 16."""
