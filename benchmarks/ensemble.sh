#!/bin/sh
# Five networks alone and as one (their scores summed) on Fashion-MNIST: benchmarks/results/ensemble/*.json.
# From the checkout; a few minutes a split on one core.
set -eu
for split in official paper; do
    python -m bep_jax train --dataset fashion-mnist --split "$split" --gate 0.4 --group-size 75 --patience 0 \
        --input-bits 1 --scale 64 --batch-size 100 \
        --name "ensemble-$split" --overwrite --json "benchmarks/results/ensemble/$split.json"
done
