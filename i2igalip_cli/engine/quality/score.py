"""One figure of indicators: the error that is to be expected.

For MR it is the error that is left under the scale that fits best: units are arbitrary there, and
nothing but the truth could tell its scale.
"""

import math
from collections.abc import Mapping

from i2igalip_cli.checkpoints import Calibration

INDICATORS = ("cycle", "flips", "planes", "edges", "caption_in", "caption_out", "distance")
DISAGREEMENTS = ("cycle", "flips", "planes")  # each of the range
_AGREEMENTS = ("edges", "caption_in", "caption_out")  # in [0, 1], higher is better
BEYOND = math.log(1.25)  # an indicator a quarter above all of the calibration's is beyond it
FLOOR = 1e-3  # below it, an indicator is as good as perfect


def log_disagreement(name: str, value: float) -> float:
    """An indicator as the score takes it: the logarithm of how much it objects.

    Args:
        name: One of `INDICATORS`.
        value: Its value; of an agreement in [0, 1], what is missing to 1 counts.
    """
    return math.log(max(1 - value if name in _AGREEMENTS else value, FLOOR))


def expected_error(
    indicators: Mapping[str, float | None], calibration: Calibration | None
) -> tuple[float, bool]:
    """The mean absolute error in the foreground that a translation is to be expected to have.

    Args:
        indicators: By name; None, or absent, where one isn't known: it counts as usual.
        calibration: Of the checkpoint; None where it has none.

    Returns:
        The error, of the range, and whether it was calibrated. If not, it is the mean of the
        disagreements: larger where trust should be smaller, but no error. So it is where an
        indicator lies beyond all that the calibration saw, such as for a source of another domain:
        then the larger of both is told.
    """
    known = {name: value for name, value in indicators.items() if value is not None}
    found = [known[name] for name in DISAGREEMENTS if name in known]
    disagreement = sum(found) / len(found) if found else 0.0
    if calibration is None:
        return disagreement, False
    objections = {name: log_disagreement(name, value) for name, value in known.items()}
    logarithm = calibration.log_error + sum(
        weight * (objections[name] - calibration.means[name])
        for name, weight in calibration.weights.items()
        if name in objections
    )
    error = min(math.exp(logarithm), 1.0)
    if any(objections.get(k, -math.inf) > top + BEYOND for k, top in calibration.highest.items()):
        return max(error, disagreement), False
    return error, True
