"""DICOM in and out: series of MR and CT images in folders, archives, DICOMDIRs and single files.

`places` finds bytes, `frames` reads headers, `series` tells volumes apart, `stack` and `regular`
put slices in their places, `pixels` decodes, `reader` joins these; `write` makes derived series.
"""

from i2igalip_cli.volumes.dicom.reader import list_volumes, read
from i2igalip_cli.volumes.dicom.write import write

__all__ = ["list_volumes", "read", "write"]
