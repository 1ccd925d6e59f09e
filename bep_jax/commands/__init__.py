"""The commands of ``python -m bep_jax``, each a frozen dataclass: its fields are the flags, `run` does the work.

Imports everything.
"""
