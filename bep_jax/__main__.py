"""``python -m bep_jax``."""

import sys

from bep_jax.commands.cli import main

if __name__ == "__main__":
    sys.exit(main())
