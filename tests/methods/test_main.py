"""The parameter table: the papers' numbers, through the command that prints them."""

import json
import math
import subprocess
import sys

import pytest

from i2igalip_cli.methods import METHODS
from i2igalip_cli.methods.__main__ import main

# Table 3 of the paper, in millions; parts cut to one decimal, but for UNIT's, which are rounded.
PARTS = {
    "galip": (13.2, 23.9),
    "cyclegan": (11.3, 2.7),
    "ugatit": (278.9, 56.4),
    "syndiff": (39.7, 7.8, 27.7, 2.7),
}
TOTALS = {  # of four domains
    "cyclegan": 169.5,
    "ugatit": 4023.6,
    "syndiff": 936.6,
    "unit": 162.2,
}


@pytest.fixture
def table(monkeypatch, capsys):
    """What the command prints."""

    def call(*options: str) -> str:
        monkeypatch.setattr(sys, "argv", ["methods", *options])
        main()
        return capsys.readouterr().out

    return call


def test_the_json_maps_methods_to_their_totals(table) -> None:
    """13,242,881 of the generator and 23,939,584 of the discriminator a domain; IXI has three."""
    counted = json.loads(table("--json"))
    assert counted["galip"] == 85_061_633
    assert all(type(number) is int for number in counted.values())
    assert counted.keys() == {*METHODS, "ugatit light"}


def test_four_domains_are_counted_as_in_the_papers_table(table) -> None:
    """Table 3 counts one generator and four discriminators: 13,242,881 + 4 x 23,939,584."""
    counted = json.loads(table("--json", "--domains", "4"))
    assert counted["galip"] == 109_001_217
    for name, total in TOTALS.items():
        assert counted[name] / 1e6 == pytest.approx(total, rel=0.01), name


def test_each_part_is_the_papers(table) -> None:
    counted = json.loads(table("--json", "--parts"))
    for name, parts in PARTS.items():
        cut = [math.floor(number / 1e5) / 10 for number in counted[name].values()]
        assert cut == list(parts), name
    unit = [round(number / 1e6, 1) for number in counted["unit"].values()]
    assert unit == [5.4, 5.4, 2.8]
    # EGSDE: T score models are all that the paper counts.
    assert counted["egsde"]["score model"] / 1e6 == pytest.approx(657.2 / 4, rel=0.01)


def test_the_table_names_the_networks() -> None:
    command = [sys.executable, "-m", "i2igalip_cli.methods"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0
    lines = [line.split() for line in done.stdout.splitlines()]
    rows = {" ".join(words[1:-1]): words[-1] for words in lines if words[0] == "galip"}
    assert rows["generator"] == "13,242,881"
    assert rows["discriminator a domain"] == "23,939,584"
    assert rows["in all, 3 domains"] == "85,061,633"
    assert rows["in all, 4 domains"] == "109,001,217"


@pytest.mark.parametrize("number", ["0", "some"])
def test_a_number_of_domains_that_cannot_be_is_refused(table, capsys, number: str) -> None:
    with pytest.raises(SystemExit) as stop:
        table("--domains", number)
    assert stop.value.code == 2
    assert "--domains" in capsys.readouterr().err
