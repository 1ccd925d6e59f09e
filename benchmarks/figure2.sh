#!/usr/bin/env bash
# Every command behind benchmarks/results/figure2: which settings are searched at which point. Resumable.
set -euo pipefail
run() { python -m bep_jax reproduce figure2 --out "$(dirname "$0")/results/figure2" "$@"; }
tuned() { run --tune-epochs 50 "$@"; }

tuned --layers 2 --datasets random-prototypes --layer-widths 35 --margins 0.5 0.75 --gates 0.5 --groups 1 5 \
    --reinforcements 0.5 1.0 --batch-sizes 25 50 --patiences 0 3 --tune-runs 3
tuned --layers 2 --datasets random-prototypes --layer-widths 35 --margins 0.5 0.75 --gates 0.35 0.5 0.7 --groups 5 \
    --reinforcements 0.75 1.0 --batch-sizes 50 --patiences 2 3 5 --tune-runs 3
tuned --layers 2 --datasets random-prototypes --layer-widths 525 --margins 0.75 1.0 --gates 0.2 0.5 --groups 7 15
tuned --layers 2 --datasets random-prototypes --layer-widths 525 --margins 1.0 --gates 0.2 0.35 --groups 15 \
    --reinforcements 0.25 0.5 0.75 --patiences 0 5 --tune-runs 3
tuned --layers 2 --datasets random-prototypes --layer-widths 525 --margins 1.0 --gates 0.2 --groups 15 25 \
    --reinforcements 0.5 0.75 --batch-sizes 50 200 --tune-runs 3
tuned --layers 2 --datasets random-prototypes --layer-widths 525 --margins 1.0 --gates 0.2 --groups 15 21 \
    --reinforcements 0.75 1.0 --patiences 0 10 --tune-runs 3
tuned --layers 2 --datasets random-prototypes --layer-widths 525 --margins 1.0 --gates 0.1 0.15 0.25 --groups 15 \
    --reinforcements 0.75 --tune-runs 3
tuned --layers 2 --datasets fashion-mnist --layer-widths 135 --margins 0.25 0.5 --gates 0.2 0.4 --groups 3 5
tuned --layers 2 --datasets fashion-mnist --layer-widths 525 --margins 0.25 0.5 --gates 0.2 0.4 --groups 5 7
tuned --layers 2 --datasets mnist --layer-widths 525 --margins 0.25 0.5 --gates 0.2 --groups 5 15

# The whole grid.
rp() { tuned --datasets random-prototypes --tune-runs 3 "$@"; }
fashion() { tuned --datasets fashion-mnist "$@"; }
rp --layers 2 --layer-widths 75 135 --margins 0.75 1.0 --gates 0.2 0.5 --groups 3 5 --reinforcements 0.5 0.75
rp --layers 2 --layer-widths 255 --margins 1.0 --gates 0.2 0.35 --groups 5 15 --reinforcements 0.5 0.75
fashion --layers 2 --layer-widths 35 --margins 0.25 0.5 --gates 0.2 0.4 --groups 1 5
fashion --layers 2 --layer-widths 75 255 --margins 0.25 0.5 --gates 0.2 0.4 --groups 3 5
rp --layers 3 --layer-widths 35 --margins 0.5 0.75 --gates 0.35 0.5 --groups 5 --reinforcements 0.75 1.0 \
    --batch-sizes 50 --patiences 0 5
rp --layers 3 --layer-widths 75 135 --margins 0.75 1.0 --gates 0.2 0.5 --groups 3 5 --reinforcements 0.5 0.75
fashion --layers 3 --layer-widths 35 --margins 0.25 0.5 --gates 0.2 0.4 --groups 1 5
fashion --layers 3 --layer-widths 75 135 255 --margins 0.25 0.5 --gates 0.2 0.4 --groups 3 5
rp --layers 3 --layer-widths 255 --margins 1.0 --gates 0.2 0.35 --groups 5 15 --reinforcements 0.5 0.75
rp --layers 3 --layer-widths 525 --margins 1.0 --gates 0.1 0.2 --groups 15 25 --reinforcements 0.5 0.75 --tune-runs 2
fashion --layers 3 --layer-widths 525 --margins 0.25 0.5 --gates 0.2 0.4 --groups 5 7 --tune-runs 1
rp --layers 2 3 --layer-widths 35 --margins 0.75 1.0 --gates 0.5 1.0 --groups 5 7 --reinforcements 1.0 \
    --batch-sizes 50 --patiences 3 5
rp --layers 2 3 --layer-widths 75 --margins 0.75 1.0 --gates 0.2 0.5 1.0 --groups 3 5 --reinforcements 1.0 \
    --batch-sizes 50 --patiences 0 5
# Three layers of 525, and group sizes that differ between layers.
three() { tuned --layers 3 --layer-widths 525 "$@"; }
three --datasets random-prototypes --margins 1.0 --gates 0.5 1.0 --groups 7 15
three --datasets random-prototypes --margins 1.0 --gates 0.2 0.5 --groups 15 --batch-sizes 50 200
three --datasets random-prototypes --margins 0.5 0.75 --gates 0.2 0.5 --groups 15
three --datasets random-prototypes --margins 1.0 --gates 0.2 0.5 --groups 15,7,1 15,5,1 15,3,1 15,7,3 21,7,1
three --datasets fashion-mnist --margins 0.5 --gates 0.2 --groups 7,5,1 7,3,1 5,3,1 7,5,3 7,7,1 --tune-runs 1
tuned --layers 2 --layer-widths 525 --datasets random-prototypes --margins 1.0 --gates 0.2 --groups 15,1 15,3 15,5 25,1 \
    --reinforcements 0.75 --tune-runs 3

# The baselines.
run --methods local-rule --datasets random-prototypes --margins 0.25 0.5 0.75 --reinforcements 0.5 1.0 \
    --tune-epochs 30 --tune-runs 2
run --methods local-rule --datasets fashion-mnist --margins 0.25 0.5 --reinforcements 0.5 1.0 \
    --tune-epochs 20 --tune-runs 1
qat() { run --methods qat-raw qat-batchnorm --tune-runs 1 --epochs 25 --runs 3 "$@"; }
qat --datasets random-prototypes --tune-epochs 10
qat --datasets fashion-mnist --splits paper --tune-epochs 6
# Beyond both ends of the learning rates.
qat --datasets random-prototypes --tune-epochs 10 --learning-rates 0.03
qat --datasets fashion-mnist --splits paper --tune-epochs 6 --learning-rates 3e-5
qat --datasets fashion-mnist --layer-widths 35 --splits paper --tune-epochs 6 --learning-rates 0.03
qat --datasets fashion-mnist --splits official --tune-epochs 6 --learning-rates 0.001
