"""The C that learns: a training step in integers, one piece of it a file.

`kernels` counts and competes, `threefry` draws, `update` changes weights, `epoch` ends an epoch, `state` saves and
loads what was learned, `network` puts a network's layers together.
"""
