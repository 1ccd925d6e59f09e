#!/bin/sh
# What `train --model conv` reaches on series with no other flag: results/convolution/series/*.json, those there are kept.
# From the checkout; SEEDS=1 for a first look, FOLDS="0 1 2" for all folds.
set -eu
out=benchmarks/results/convolution/series
mkdir -p "$out"
for problem in "${@:-SmoothSubspace ItalyPowerDemand ERing ProximalPhalanxTW JapaneseVowels MoteStrain GunPointAgeSpan \
    SonyAIBORobotSurface1 DistalPhalanxOutlineAgeGroup ProximalPhalanxOutlineAgeGroup ECGFiveDays InsectEPGRegularTrain \
    Earthquakes FreezerSmallTrain ECG5000 PenDigits Wafer}"; do
    for one in $problem; do
        for fold in ${FOLDS:-0}; do
            [ -e "$out/$one-$fold.json" ] || python -m bep_jax train --dataset "ucr/$one" --fold "$fold" --model conv \
                --seeds "${SEEDS:-3}" --no-progress --out "${TMPDIR:-/tmp}/convolution" --name "$one-$fold" --overwrite \
                --json "$out/$one-$fold.json"
        done
    done
done
