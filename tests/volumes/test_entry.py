"""Which of the volumes of a path are meant."""

from dataclasses import replace
from pathlib import Path

import pytest

from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes import VolumeEntry, choose_entries

PATH = Path("study")
T1 = VolumeEntry(path=PATH, series="1.2.3", number=5, description="Ax T1 FSPGR")
T2 = VolumeEntry(path=PATH, series="1.2.4/1", number=6, description="Ax T2 FLAIR")
T2_ECHO = VolumeEntry(path=PATH, series="1.2.4/2", number=6, description="Ax T2 FLAIR")
SCOUT = VolumeEntry(
    path=PATH, series="1.2.9", number=1, description="Scout", refusal="a localizer: 3 planes"
)
STUDY = (SCOUT, T1, T2, T2_ECHO)
SERIES_OF_FOUR = tuple(VolumeEntry(path=Path("a.nii"), volume=n) for n in range(4))


@pytest.mark.parametrize(
    ("series", "chosen"),
    [
        ("1.2.3", (T1,)),
        ("5", (T1,)),
        ("*t1*", (T1,)),
        ("ax t1 fspgr", (T1,)),
        ("1.2.4", (T2, T2_ECHO)),
        ("1.2.4/2", (T2_ECHO,)),
        ("6", (T2, T2_ECHO)),
        ("6/2", (T2_ECHO,)),
        ("*FLAIR", (T2, T2_ECHO)),
        ("all", (T1, T2, T2_ECHO)),
    ],
)
def test_a_series_is_named_by_uid_number_or_pattern(series, chosen) -> None:
    assert choose_entries(STUDY, series) == chosen


def test_synthetic_series_are_chosen_only_by_name() -> None:
    made = replace(T2, synthetic=True)
    assert choose_entries((T1, made)) == (T1,)
    assert choose_entries((T1, made), "all") == (T1,)
    assert choose_entries((T1, made), "6") == (made,)
    assert choose_entries((made,)) == (made,)


def test_the_only_series_that_can_be_used_needs_no_name() -> None:
    assert choose_entries((SCOUT, T1)) == (T1,)
    assert choose_entries((SCOUT, T1), volume="all") == (T1,)
    assert choose_entries((VolumeEntry(path=PATH),), volume=0) == (VolumeEntry(path=PATH),)


@pytest.mark.parametrize(
    ("entries", "series", "volume", "message"),
    [
        (STUDY, None, None, r"3 volumes; choose one with --series .*all: 5 'Ax T1 .*\(1 others"),
        (STUDY, "7", None, "no series fits --series 7; there are 5 'Ax T1"),
        (STUDY, "1.2", None, "no series fits --series 1.2"),
        (STUDY, "scout", None, "study: a localizer: 3 planes"),
        ((VolumeEntry(path=PATH),), "7", None, "study: --series 7, but it is no DICOM"),
        ((SCOUT,), None, None, "study: a localizer: 3 planes"),
        ((SCOUT,), "all", None, "study: a localizer: 3 planes"),
        ((T1,), None, 2, "--volume 2, but there is no fourth axis"),
        (SERIES_OF_FOUR, None, None, "4 volumes on a fourth axis; choose one with --volume N"),
        (SERIES_OF_FOUR, None, 4, "--volume 4, but there are 0 to 3"),
        (SERIES_OF_FOUR, None, -1, "--volume -1, but there are 0 to 3"),
    ],
)
def test_what_is_open_or_absent_is_refused_with_the_choice(
    entries, series, volume, message
) -> None:
    with pytest.raises(VolumeError, match=message) as caught:
        choose_entries(entries, series, volume)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("volume", "chosen"), [(0, [0]), (3, [3]), ("all", [0, 1, 2, 3])], ids=str)
def test_a_volume_is_chosen_by_its_place(volume, chosen) -> None:
    found = choose_entries(SERIES_OF_FOUR, volume=volume)
    assert [entry.volume for entry in found] == chosen


def test_entries_describe_what_tells_them_apart() -> None:
    lines = [entry.describe() for entry in (*STUDY, *SERIES_OF_FOUR)]
    assert len(set(lines)) == len(lines)
    assert T2_ECHO.describe() == "6/2 'Ax T2 FLAIR' (1.2.4/2)"
    assert SERIES_OF_FOUR[2].describe() == "--volume 2"
    unnumbered = VolumeEntry(path=PATH, series="1.5", description="x")
    assert unnumbered.describe() == "without number 'x' (1.5)"
