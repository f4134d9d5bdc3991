#!/usr/bin/env bash
# DICOM in and out: bash examples/dicom.sh [OUT]
# The ICBM 152 T1 template as a DICOM series becomes a derived T2 series and a PD NIfTI volume; then
# the folder of both is translated as a cohort, with a table.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source examples/environment.sh demo

out="${1:-build/dicom}"
rm -rf "$out"
mkdir -p "$out/study"
python examples/icbm_template.py "$out/icbm_T1.nii.gz" --resolution 2
python examples/write_dicom.py "$out/icbm_T1.nii.gz" "$out/study/T1"

echo "1. A series becomes a derived series beside it, and crosses over to NIfTI"
i2igalip translate "$out/study/T1" --from T1 --to T2
i2igalip translate "$out/study/T1" --from T1 --to PD -o "$out/icbm_PD.nii.gz" --preview

echo "2. The folder as a cohort: the synthetic series in it is left out"
i2igalip translate "$out/study" --to PD --format dicom -o "$out/cohort"
cat "$out/cohort/summary.csv"
