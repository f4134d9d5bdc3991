"""What a dataset is judged by: one check, one row."""

from collections.abc import Callable

from i2igalip_cli.engine.audit.checks.captions import check_captions
from i2igalip_cli.engine.audit.checks.contrast import check_header, check_likeness
from i2igalip_cli.engine.audit.checks.copies import check_copies
from i2igalip_cli.engine.audit.checks.counts import check_counts
from i2igalip_cli.engine.audit.checks.files import check_files, check_headers
from i2igalip_cli.engine.audit.checks.intensities import check_intensities
from i2igalip_cli.engine.audit.checks.orientation import check_orientation
from i2igalip_cli.engine.audit.checks.persons import check_persons
from i2igalip_cli.engine.audit.checks.sizes import check_sizes
from i2igalip_cli.engine.audit.evidence import Evidence
from i2igalip_cli.engine.audit.findings import Checked

CHECKS: tuple[Callable[[Evidence], Checked], ...] = (
    check_files,
    check_headers,
    check_counts,
    check_copies,
    check_header,
    check_captions,
    check_likeness,
    check_orientation,
    check_persons,
    check_sizes,
    check_intensities,
)
