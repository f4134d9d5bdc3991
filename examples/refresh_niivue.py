"""Renew the NiiVue build that reports embed.

    python examples/refresh_niivue.py [VERSION]

Fetches `@niivue/niivue` with `npm pack` (npm is needed here and nowhere else), and writes its
built file, compressed, and a record of version, licence and SHA-256 into the package's assets. The
licence text beside it is NiiVue's own; look whether it has changed. Then run tests/report/run.sh.
"""

import argparse
import gzip
import hashlib
import json
import subprocess
import tarfile
import tempfile
from importlib.resources import as_file, files
from pathlib import Path

PACKAGE = "@niivue/niivue"
BUILT = "package/dist/niivue.umd.js"


def fetch(version: str, folder: Path) -> tuple[bytes, dict[str, str]]:
    """The built file of a version, and the package's own description."""
    command = ["npm", "pack", "--silent", f"{PACKAGE}@{version}", "--pack-destination", str(folder)]
    subprocess.run(command, check=True)
    (archive,) = folder.glob("*.tgz")
    with tarfile.open(archive) as opened:
        built, described = opened.extractfile(BUILT), opened.extractfile("package/package.json")
        assert built is not None and described is not None, "the package holds both"
        return built.read(), json.loads(described.read())


def main() -> None:
    """Write the assets of the version that the command line asks for."""
    parser = argparse.ArgumentParser(description="Renew the embedded NiiVue.")
    parser.add_argument("version", nargs="?", default="latest")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        built, described = fetch(options.version, Path(folder))
    record = {
        "name": PACKAGE,
        "version": described["version"],
        "license": described["license"],
        "file": BUILT.removeprefix("package/"),
        "size": len(built),
        "sha256": hashlib.sha256(built).hexdigest(),
    }
    with as_file(files("i2igalip_cli.evaluation.report") / "assets") as assets:
        (assets / "niivue.umd.js.gz").write_bytes(gzip.compress(built, 9, mtime=0))
        (assets / "niivue.json").write_text(json.dumps(record, indent=2) + "\n")
    print(f"{PACKAGE} {record['version']}, {record['license']}, SHA-256 {record['sha256']}")


if __name__ == "__main__":
    main()
