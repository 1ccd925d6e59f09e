"""Flags that reproductions share, among themselves and with the other commands."""

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from bep_jax.data.random_prototypes import NAME as DRAWN

DataDir = Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(default: $BEP_JAX_DATA or the cache)")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Common:
    """Flags of every reproduction."""

    data_dir: DataDir = None
    """Where the files are, or go when they are downloaded."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """What everything is drawn from."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Perceptrons(Common):
    """Flags of the figures of multilayer perceptrons."""

    datasets: Annotated[tuple[str, ...], arg(metavar="NAME [NAME ...]")] = (DRAWN, "fashion-mnist")
    """random-prototypes, fashion-mnist, mnist."""
    layer_widths: Annotated[tuple[int, ...], arg(metavar="N [N ...]")] = (35, 135, 525)
    """Widths, each for all layers."""
    layers: Annotated[tuple[int, ...], arg(metavar="L [L ...]")] = (2,)
    """How many layers."""

    def unknown_datasets(self) -> set[str]:
        """What these figures do not have."""
        return set(self.datasets) - {DRAWN, "fashion-mnist", "mnist"}
