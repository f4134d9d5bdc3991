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


def test_four_domains_are_counted_as_in_the_papers_table() -> None:
    """Table 3 counts one generator and four discriminators: 13,242,881 + 4 x 23,939,584."""
    counted = json.loads(run("--json", "--domains", "4").stdout)
    assert counted["galip"] == 109_001_217


def test_the_table_names_the_networks() -> None:
    done = run()
    assert done.returncode == 0
    rows = {" ".join(line.split()[1:-1]): line.split()[-1] for line in done.stdout.splitlines()}
    assert rows["generator"] == "13,242,881"
    assert rows["discriminator a domain"] == "23,939,584"
    assert rows["in all, 3 domains"] == "85,061,633"
    assert rows["in all, 4 domains"] == "109,001,217"


@pytest.mark.parametrize("number", ["0", "some"])
def test_a_number_of_domains_that_cannot_be_is_refused(number: str) -> None:
    done = run("--domains", number)
    assert done.returncode == 2
    assert "--domains" in done.stderr
