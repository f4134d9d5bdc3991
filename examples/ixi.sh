#!/usr/bin/env bash
# The paper's brain experiment, from the download to the table:
#   bash examples/ixi.sh [RAW [OUT [OPTIONS OF train]]]
# RAW holds IXI-T1, IXI-T2 and IXI-PD; where it isn't there, the three archives are fetched (many
# gigabytes, CC BY-SA 3.0, https://brain-development.org/ixi-dataset). IXI isn't registered between
# contrasts: what is prepared is, onto T1, and the table compares that. Run again, it goes on where it
# was stopped. For a small run: PREPARE='--split 4 1 2' (options of prepare), JOBS (its processes),
# and options of train such as --encoder demo --steps 100.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source examples/environment.sh demo

raw="${1:-build/ixi/raw}"
out="${2:-build/ixi}"
shift $(($# < 2 ? $# : 2))
read -ra prepare <<<"${PREPARE:-}"
archives="${IXI_ARCHIVES:-https://biomedic.doc.ic.ac.uk/brain-development/downloads/IXI}"
contrasts=(T1 T2 PD)

if [[ ! -d "$raw" ]]; then
  echo "1. Download to $raw"
  for contrast in "${contrasts[@]}"; do
    folder="$raw.unfinished/IXI-$contrast"
    mkdir -p "$folder"
    if [[ ! -e "$folder.tar" ]]; then
      curl --fail --location --continue-at - --output "$folder.part" "$archives/IXI-$contrast.tar"
      mv "$folder.part" "$folder.tar"
    fi
    tar -xf "$folder.tar" -C "$folder"
  done
  rm "$raw.unfinished"/*.tar
  mv "$raw.unfinished" "$raw"
fi

if [[ ! -d "$out/dataset" ]]; then
  echo "2. Prepare: T2 and PD laid onto T1; who can't be is told and left out"
  mkdir -p "$out"
  i2igalip prepare "$raw" --out "$out/dataset" --config examples/ixi.toml --register T1 \
    --skip-faulty --jobs "${JOBS:-4}" ${prepare[@]+"${prepare[@]}"} || {
    code=$?
    echo "Look at $out/dataset/audit.html if it is there; run this again to train nevertheless" >&2
    exit "$code"
  }
fi

echo "3. Train"
[[ " $* " == *" --encoder "* ]] || i2igalip download-weights biomedclip
i2igalip train "$out/dataset" --out "$out/run" --config examples/ixi.toml "$@"

echo "4. Translate the test subjects, each contrast to the others"
python examples/unpack.py "$out/dataset" "$out/test"
for source in "${contrasts[@]}"; do
  for target in "${contrasts[@]}"; do
    [[ "$source" == "$target" ]] || i2igalip translate "$out/test/$source" --from "$source" \
      --to "$target" -o "$out/test/${source}_to_$target" --weights "$out/run" --resume
  done
done

if [[ ! -e "$out/results.csv" ]]; then
  echo "5. The table"
  i2igalip evaluate --pairs "$out/test/pairs.csv" --method i2i-galip \
    -o "$out/results.csv" --report "$out/report.html" --overwrite
fi
echo "Every number: $out/results.csv; a page to look at: $out/report.html"
