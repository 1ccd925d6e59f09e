"""Calls, files and command lines that no sensible user writes, drawn from a seed: each ends in a result or our error.

    cd tests; python -m fuzz calls 200 --only fit load
    python -m fuzz files 200
    python -m fuzz commands 200

prints a JSON line for each kind, and a line for every call that ended in another way, took over ten seconds of a
processor or more than a GiB. `test_fuzz.py` runs a few.
"""
