#!/usr/bin/env bash
# The whole tool on real and simulated brains: bash examples/demo.sh [OUT]
# Makes its own .venv (Python 3.11 or newer), then translates the ICBM 152 T1 template that nilearn
# ships to T2 and PD, evaluates held-out simulated subjects, and writes pictures to build/demo.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source examples/environment.sh demo

out="${1:-build/demo}"
rm -rf "$out"
mkdir -p "$out"/{template,predicted,reference}

echo "1. A real T1 volume becomes T2 and PD"
python examples/icbm_template.py "$out/template/icbm_T1.nii.gz"
for target in T2 PD; do
  i2igalip translate "$out/template/icbm_T1.nii.gz" --from T1 --to "$target" \
    -o "$out/template/icbm_$target.nii.gz" --preview
done

echo "2. Simulated subjects that training never saw, translated and evaluated"
python examples/simulate_brains.py "$out/simulated" --train 0 --paired 0 --val 0 --test 2
for volume in "$out"/simulated/cohort/test/*_T1.nii.gz; do
  name="$(basename "$volume" _T1.nii.gz)_T2.nii.gz"
  i2igalip translate "$volume" --from T1 --to T2 -o "$out/predicted/$name" --preview
  cp "$out/simulated/cohort/test/$name" "$out/reference/$name"
done
i2igalip evaluate --pred "$out/predicted" --gt "$out/reference" -o "$out/results.csv" \
  --report "$out/report.html"

echo "Pictures, and the report of the evaluation:"
ls "$out"/template/*.png "$out"/predicted/*.png "$out/report.html"
