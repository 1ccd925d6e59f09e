"""The commands of ``python -m bep_jax``, each a frozen dataclass: its fields are the flags, `run` does the work.

Those that repeat the paper are in `bep_jax.reproduce`.
"""

from bep_jax.commands.compare import Compare
from bep_jax.commands.saved import Describe, Export, Predict
from bep_jax.commands.train import Train

COMMANDS: dict[str, type] = {
    "train": Train,
    "compare": Compare,
    "predict": Predict,
    "summary": Describe,
    "export": Export,
}
