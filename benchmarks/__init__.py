"""Speed of bep_jax as ratios, each measured side by side in one run: ``python -m benchmarks <subcommand>``.

Run from the checkout. Results go to ``benchmarks/results/<subcommand>.json`` and ``.md``, which a new run replaces.
"""
