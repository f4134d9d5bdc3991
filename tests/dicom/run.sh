#!/usr/bin/env bash
# Derived series before an independent validator, dciodvfy (Debian's dicom3tools):
#   bash tests/dicom/run.sh [FOLDER ...]
# Without folders, series of every kind are written and judged. No line may begin with "Error".
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if ! command -v dciodvfy > /dev/null; then
  if [[ "$(id -u)" != 0 ]] || ! command -v apt-get > /dev/null; then
    echo "dciodvfy: skipped, it isn't installed, and installing it takes root and apt-get"
    exit 0
  fi
  if ! { apt-get update && apt-get install -y --no-install-recommends dicom3tools; } > /dev/null; then
    echo "dciodvfy: skipped, dicom3tools can't be installed here"
    exit 0
  fi
fi

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
if [[ $# -eq 0 ]]; then
  source examples/environment.sh dev
  OMP_NUM_THREADS=1 python tests/dicom/write_kinds.py "$scratch/series"
  set -- "$scratch"/series/*
fi

# The one error that is dciodvfy's own: releases before 2023 don't know Synthetic Data (0008,001C).
unknown='^Error - Attribute with an even group number is not a recognized standard attribute'
unknown+=' - \(0x0008,0x001c\)'
failed=0
for series in "$@"; do
  count=0
  : > "$scratch/report"
  while IFS= read -r -d '' file; do
    dciodvfy "$file" >> "$scratch/report" 2>&1 || true # its status is that of its own dictionary
    count=$((count + 1))
  done < <(find "$series" -type f -print0)
  errors="$(grep '^Error' "$scratch/report" | grep -cvE "$unknown" || true)"
  judged="$(grep -cE '^(MR|CT)Image$' "$scratch/report" || true)"
  echo "$(basename "$series"): $count images, $errors errors"
  if [[ "$errors" != 0 || "$count" = 0 || "$judged" != "$count" ]]; then
    grep '^Error' "$scratch/report" | grep -vE "$unknown" | sort | uniq -c || true
    failed=1
  fi
done
exit "$failed"
