#!/usr/bin/env bash
# Every command behind benchmarks/results/figure2: which settings are searched at which point. Resumable.
set -euo pipefail
run() { python -m bep_jax reproduce figure2 --out "$(dirname "$0")/results/figure2" --layers 2 --tune-epochs 50 "$@"; }

run --datasets random-prototypes --layer-widths 35 --margins 0.5 0.75 --gates 0.5 --groups 1 5 \
    --reinforcements 0.5 1.0 --batch-sizes 25 50 --patiences 0 3 --tune-runs 3
run --datasets random-prototypes --layer-widths 35 --margins 0.5 0.75 --gates 0.35 0.5 0.7 --groups 5 \
    --reinforcements 0.75 1.0 --batch-sizes 50 --patiences 2 3 5 --tune-runs 3
run --datasets random-prototypes --layer-widths 525 --margins 0.75 1.0 --gates 0.2 0.5 --groups 7 15
run --datasets random-prototypes --layer-widths 525 --margins 1.0 --gates 0.2 0.35 --groups 15 \
    --reinforcements 0.25 0.5 0.75 --patiences 0 5 --tune-runs 3
run --datasets random-prototypes --layer-widths 525 --margins 1.0 --gates 0.2 --groups 15 25 \
    --reinforcements 0.5 0.75 --batch-sizes 50 200 --tune-runs 3
run --datasets random-prototypes --layer-widths 525 --margins 1.0 --gates 0.2 --groups 15 21 \
    --reinforcements 0.75 1.0 --patiences 0 10 --tune-runs 3
run --datasets random-prototypes --layer-widths 525 --margins 1.0 --gates 0.1 0.15 0.25 --groups 15 \
    --reinforcements 0.75 --tune-runs 3
run --datasets fashion-mnist --layer-widths 135 --margins 0.25 0.5 --gates 0.2 0.4 --groups 3 5
run --datasets fashion-mnist --layer-widths 525 --margins 0.25 0.5 --gates 0.2 0.4 --groups 5 7
run --datasets mnist --layer-widths 525 --margins 0.25 0.5 --gates 0.2 --groups 5 15
