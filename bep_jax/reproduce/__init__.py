"""Tables and figures of the paper, each a command: ``python -m bep_jax reproduce table1``."""

from bep_jax.reproduce.table1 import Table1

COMMANDS: dict[str, type] = {"table1": Table1}
