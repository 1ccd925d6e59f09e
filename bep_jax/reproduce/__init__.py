"""The paper: what it reports, and its tables and figures, each a command of `bep_jax.commands.cli`.

Imports everything but `bep_jax.commands`.
"""
