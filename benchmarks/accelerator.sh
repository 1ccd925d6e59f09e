#!/usr/bin/env bash
# One command for a machine with an accelerator: are the bits those of a CPU, and which form of the products is fastest?
# Needs jax (with CUDA, say), optax and numpy, nothing else, and under ten minutes; fails if a bit differs.
# Writes benchmarks/results/accelerator.json and .md, or into the folder of --out. --quick: tiny sizes, anywhere.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
timeout 600 "${PYTHON:-python3}" -m benchmarks accelerator --core -1 --repetitions 5 --seconds 0.02 "$@" | tee "$log"
if grep -q DIFFERENT "$log"; then echo "accelerator: bits differ from those of a CPU" >&2; exit 1; fi
