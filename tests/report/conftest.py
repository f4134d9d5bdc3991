"""A browser for all tests and a page of small heads; without run.sh these tests are skipped."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import pytest
from conftest import write_head

from i2igalip_cli.engine.evaluator.pairs import Sides
from i2igalip_cli.engine.evaluator.results import Results
from i2igalip_cli.engine.evaluator.run import EvaluationRequest, run_evaluation
from i2igalip_cli.engine.evaluator.scoring import Scoring
from i2igalip_cli.engine.reports import write_evaluation_report
from report.browser import Browser, Tab, find_program

INJECTION = "</script><script>injected = true</script><img src=x onerror='injected = true'>"


@pytest.fixture(autouse=True)
def wanted() -> None:
    if "I2IGALIP_TEST_BROWSER" not in os.environ:
        pytest.skip("needs the browser that tests/report/run.sh looks for")


@pytest.fixture(scope="session")
def browser(tmp_path_factory) -> Iterator[Browser]:
    program = find_program()
    assert program is not None, "no browser is installed"
    started = Browser(program, tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


@pytest.fixture(scope="session")
def results(tmp_path_factory) -> Results:
    """Three heads, each worse; the first has a source, the axes of the second run otherwise."""
    folder = tmp_path_factory.mktemp("evaluated")
    for number in range(3):
        name = f"s{number}.nii.gz"
        write_head(folder / "gt" / name, "T2", seed=number)
        write_head(folder / "pred" / name, ("T2", "PD", "T1")[number], seed=number + 10)
    for path in (folder / "gt" / "s1.nii.gz", folder / "pred" / "s1.nii.gz"):
        turned = nib.load(path).as_reoriented([[2, -1], [0, -1], [1, -1]])
        nib.save(turned, path)
    source = write_head(folder / "source.nii.gz", "T1")
    sides = Sides(prediction=folder / "pred", reference=folder / "gt")
    scoring = Scoring(protocols=("fixed",))
    found = run_evaluation(EvaluationRequest(pairs=sides, scoring=scoring))
    first, *others = found.cases
    named = replace(first, case=INJECTION, source=source, warnings=(INJECTION,))
    return replace(found, method=INJECTION, cases=(named, *others))


@pytest.fixture(scope="session")
def page(results: Results, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_evaluation_report(results, path)
    return path


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    opened = Tab(browser)
    yield opened
    opened.close()


@pytest.fixture
def shown(tab: Tab, page: Path) -> Tab:
    """The page, once its viewer shows the first case."""
    tab.open(page)
    tab.wait_until("document.getElementById('viewer').dataset.shown === '0'")
    return tab
