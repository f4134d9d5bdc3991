"""The parameter table: the paper's numbers, through the command that prints them."""

import json
import subprocess
import sys

import pytest


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "i2igalip_cli.methods", *options]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_json_maps_methods_to_their_totals() -> None:
    """13,242,881 of the generator and 23,939,584 of the discriminator a domain; IXI has three."""
    counted = json.loads(run("--json").stdout)
    assert counted["galip"] == 85_061_633
    assert all(type(number) is int for number in counted.values())


def test_a_domain_adds_a_set_of_heads_and_a_row_of_128() -> None:
    """The table of target domains is 128 wide: 13,242,881 counts three rows of it."""
    counted = json.loads(run("--json", "--domains", "4").stdout)
    assert counted["galip"] == 109_001_217 + 128


def test_the_table_names_the_networks() -> None:
    done = run()
    assert done.returncode == 0
    for number in ("13,242,881", "71,818,752", "85,061,633"):  # 3 x 23,939,584 in the middle
        assert number in done.stdout


@pytest.mark.parametrize("number", ["0", "some"])
def test_a_number_of_domains_that_cannot_be_is_refused(number: str) -> None:
    done = run("--domains", number)
    assert done.returncode == 2
    assert "--domains" in done.stderr
