"""Packed words and what runs on them: packing, popcounts, the three products, fusion walls, seeds one by one.

Knows no network and imports nothing of the library.
"""
