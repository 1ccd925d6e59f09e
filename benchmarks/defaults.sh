#!/bin/sh
# What `train` reaches with no flags but the data, and with one more: results/defaults/*.json, those there are kept.
# From the checkout; SEEDS=1 for a first look.
set -eu
out=benchmarks/results/defaults
run() {
    name=$1
    shift
    [ -e "$out/$name.json" ] || python -m bep_jax train "$@" --seeds "${SEEDS:-5}" --no-progress \
        --out "${TMPDIR:-/tmp}/defaults" --name "$name" --overwrite --json "$out/$name.json"
}
mkdir -p "$out"
for what in "${@:-images own series}"; do
    case $what in
    *images*)
        run mnist --dataset mnist --epochs 60
        run mnist-batch-100 --dataset mnist --epochs 60 --batch-size 100
        run mnist-255 --dataset mnist --epochs 60 --widths 255 255
        run mnist-batch-512 --dataset mnist --epochs 60 --batch-size 512
        run mnist-batch-50 --dataset mnist --epochs 60 --batch-size 50
        run fashion-mnist --dataset fashion-mnist --epochs 40
        run mnist-1035 --dataset mnist --epochs 60 --widths 1035 1035
        run digits --dataset digits
        (SEEDS=3 && run digits-readme --dataset digits --input-bits 4 --widths 525 525 --epochs 30 --batch-size 50 --decay-after 0)
        ;;
    esac
    case $what in
    *own*)
        python -m benchmarks.own_series "${TMPDIR:-/tmp}/own-series"
        for problem in Gesture Bursts Valve; do
            run "own-$problem" --dataset "ucr/$problem" --data-dir "${TMPDIR:-/tmp}/own-series"
        done
        ;;
    esac
    case $what in
    *series*)
        for problem in SmoothSubspace ItalyPowerDemand ERing ProximalPhalanxTW JapaneseVowels MoteStrain GunPointAgeSpan \
            SonyAIBORobotSurface1 DistalPhalanxOutlineAgeGroup ProximalPhalanxOutlineAgeGroup ECGFiveDays \
            InsectEPGRegularTrain Earthquakes FreezerSmallTrain ECG5000 PenDigits Wafer; do
            for fold in ${FOLDS:-0 1 2}; do
                run "$problem-$fold" --dataset "ucr/$problem" --fold "$fold"
            done
        done
        ;;
    esac
done
