"""Tables and figures of the paper and a few more, each a command: ``python -m bep_jax reproduce table1``."""

from bep_jax.reproduce.figure2 import Figure2
from bep_jax.reproduce.figure3 import Figure3
from bep_jax.reproduce.figure8 import Figure8
from bep_jax.reproduce.sweeps import Bits, Depth, Figure4, Figure5, Figure6, Figure7, Scale
from bep_jax.reproduce.table1 import Table1
from bep_jax.reproduce.table3 import Table3

COMMANDS: dict[str, type] = {
    "table1": Table1,
    "table3": Table3,
    "figure2": Figure2,
    "figure3": Figure3,
    "figure4": Figure4,
    "figure5": Figure5,
    "figure6": Figure6,
    "figure7": Figure7,
    "figure8": Figure8,
    "depth": Depth,
    "scale": Scale,
    "bits": Bits,
}
