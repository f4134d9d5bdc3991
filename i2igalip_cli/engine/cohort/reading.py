"""Reading sources, each once for the targets that follow one another."""

from i2igalip_cli.engine.cohort.items import CohortItem
from i2igalip_cli.volumes import Irregular, Volume, load_entry


class SourceReader:
    """Reads the sources of items, and remembers the last one.

    What it remembers is the youngest volume of the pipeline, or was its last one: the pipeline's
    slots still bound what is in memory.

    Args:
        irregular: What to do with DICOM slices that make no regular grid.
    """

    def __init__(self, irregular: Irregular) -> None:
        self.irregular = irregular
        self._last: tuple[str, str, Volume] | None = None

    def read(self, item: CohortItem, input_identity: str) -> Volume:
        """The source of an item.

        Args:
            item: What is to be translated.
            input_identity: Of the source's files now; where they were changed since they were
                read, they are read again.

        Raises:
            VolumeError: It can't be read; the next target tries again.
        """
        if self._last is None or self._last[:2] != (item.origin, input_identity):
            self._last = None  # before the next one is read: both are large
            self._last = (item.origin, input_identity, load_entry(item.entry, self.irregular))
        return self._last[2]
