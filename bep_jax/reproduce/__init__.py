"""Tables and figures of the paper, each a command: ``python -m bep_jax reproduce table1``."""

from bep_jax.reproduce.figure2 import Figure2
from bep_jax.reproduce.figure3 import Figure3
from bep_jax.reproduce.figure8 import Figure8
from bep_jax.reproduce.table1 import Table1
from bep_jax.reproduce.table3 import Table3

COMMANDS: dict[str, type] = {
    "table1": Table1,
    "table3": Table3,
    "figure2": Figure2,
    "figure3": Figure3,
    "figure8": Figure8,
}
