"""Does a volume lie as its header says: turned, upside down or back to front?

Turns show against the other subjects. Left and right don't, in bodies as symmetric as ours: see
`persons`.
"""

import numpy as np

from i2igalip_cli.engine.audit.evidence import Evidence
from i2igalip_cli.engine.audit.findings import Checked, Finding
from i2igalip_cli.engine.audit.templates import LEAST_SUBJECTS
from i2igalip_cli.engine.quality.orientation import CLEAR, Lie, name_turn

_ADVICE = "compare it with its original, and mend the affine or the array"


def check_orientation(evidence: Evidence) -> Checked:
    """Compare each volume, and its turns, with the other subjects."""
    findings = [
        Finding(
            severity="fault",
            text=f"looks {name_turn(lie.turn)}: correlation with the other subjects "
            f"{lie.correlation:.2f} as it lies, {lie.best:.2f} if its affine said so",
            volumes=(name,),
            advice=_ADVICE,
        )
        for name, lie in find_turned(evidence).items()
    ]
    few = len(evidence.portraits) - len(evidence.lies)
    return Checked(
        name="orientation",
        looks_for="a volume that is turned, or upside down",
        judged=len(evidence.lies),
        unjudged=f"{few} volumes of domains with fewer than {LEAST_SUBJECTS} subjects"
        if few
        else "",
        findings=tuple(findings),
    )


def find_turned(evidence: Evidence) -> dict[str, Lie]:
    """By name, volumes that fit the others clearly better in another way than they lie."""
    # Domains may differ in shape: what volumes usually gain by turning is no fault of one.
    gains = [lie.gain for lie in evidence.lies.values()]
    usual = max(float(np.median(gains or [0.0])), 0.0)
    return {name: lie for name, lie in evidence.lies.items() if lie.gain > usual + CLEAR}
