#!/usr/bin/env bash
# The paper's pelvic experiments, MR to CT, from the archive to the tables:
#   bash examples/gold_atlas.sh RAW [OUT [OPTIONS OF train]]
# The Gold Atlas (Nyholm et al. 2018) is given to those who ask for it: "Request access" at
# https://zenodo.org/records/583096. RAW then holds a folder a patient (1_01_P ... of hospital 1)
# with T1.nii.gz, T2.nii.gz and CT.nii.gz: the CT that the atlas deformed onto MR, for the table
# compares it voxel by voxel. T1 and T2 are two runs, as in the paper. Run again, it goes on where it
# was stopped. For a small run: PREPARE='--split 4 1 2' (options of prepare), JOBS (its processes),
# and options of train such as --encoder demo --steps 100.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

raw="${1:-build/gold-atlas/raw}"
out="${2:-build/gold-atlas}"
shift $(($# < 2 ? $# : 2))
read -ra prepare <<<"${PREPARE:-}"
if [[ ! -d "$raw" ]]; then
  echo "$raw: no such folder. Ask for the Gold Atlas at https://zenodo.org/records/583096, then lay" >&2
  echo "T1.nii.gz, T2.nii.gz and CT.nii.gz (deformed onto MR) of a patient into $raw/1_01_P ..." >&2
  exit 1
fi
source examples/environment.sh demo
[[ " $* " == *" --encoder "* ]] || i2igalip download-weights biomedclip

for contrast in T1 T2; do
  here="$out/$contrast"
  if [[ ! -d "$here/dataset" ]]; then
    echo "$contrast 1. Prepare"
    mkdir -p "$here"
    i2igalip prepare "$raw" --out "$here/dataset" --config examples/pelvis.toml \
      --domain pelvic-MR="*$contrast.nii*" --domain pelvic-CT='*CT.nii*' --jobs "${JOBS:-4}" \
      ${prepare[@]+"${prepare[@]}"} || {
      code=$?
      echo "Look at $here/dataset/audit.html if it is there; run this again to train nevertheless" >&2
      exit "$code"
    }
  fi

  echo "$contrast 2. Train"
  i2igalip train "$here/dataset" --out "$here/run" --config examples/pelvis.toml "$@"

  echo "$contrast 3. Translate the test subjects to CT"
  python examples/unpack.py "$here/dataset" "$here/test" --to pelvic-CT --any-grid
  i2igalip translate "$here/test/pelvic-MR" --from pelvic-MR --to pelvic-CT \
    -o "$here/test/pelvic-MR_to_pelvic-CT" --weights "$here/run" --resume

  if [[ ! -e "$here/results.csv" ]]; then
    echo "$contrast 4. The table, in HU"
    i2igalip evaluate --pairs "$here/test/pairs.csv" --resample --method "i2i-galip $contrast" \
      --protocol fixed --range -1024 3000 --modality CT \
      -o "$here/results.csv" --report "$here/report.html" --overwrite
  fi
  echo "Every number: $here/results.csv; a page to look at: $here/report.html"
done
