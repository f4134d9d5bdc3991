"""How each domain of a dataset is brought to [0, 1]: its own window or percentile, and how told.

What settings say of a domain becomes part of it: the dataset's index and every checkpoint trained
on it list their domains, and translation scales by these.
"""

from collections.abc import Mapping
from dataclasses import replace

from i2igalip_cli.config import DomainScale, IntensityPolicy
from i2igalip_cli.domains import Domain
from i2igalip_cli.errors import ConfigError
from i2igalip_cli.volumes.intensity import IntensityWindow, find_percentile
from i2igalip_cli.volumes.preprocess.resampling import AIR_HU


def scale_domains(
    domains: Mapping[str, Domain], scales: Mapping[str, DomainScale]
) -> dict[str, Domain]:
    """Domains with the windows and percentiles that settings give them.

    Args:
        domains: By name.
        scales: By name of a domain; the others stay.

    Raises:
        ConfigError: A scale of no domain, or one that doesn't suit CT.
    """
    stray = [name for name in scales if name not in domains]
    if stray:
        raise ConfigError(
            f"a window or percentile for '{stray[0]}': no domain of these, {', '.join(domains)}"
        )
    return {
        name: _scale(domain, scales[name]) if name in scales else domain
        for name, domain in domains.items()
    }


def _scale(domain: Domain, scale: DomainScale) -> Domain:
    if domain.modality == "CT" and scale.window is None:
        raise ConfigError(
            f"{domain.name} is CT, which no percentile scales: give a window in HU, such as "
            f"--window {domain.name}=-1000,2000"
        )
    if domain.modality == "CT" and scale.window is not None and scale.window[0] < AIR_HU:
        raise ConfigError(
            f"window of {domain.name} from {scale.window[0]:g} HU: below {AIR_HU:g} HU there is "
            "padding only; begin there or above"
        )
    return replace(domain, window=scale.window, percentile=scale.percentile)


def describe_scale(window: IntensityWindow, domain: Domain, policy: IntensityPolicy) -> str:
    """What became 0 and 1 of a volume, a line of its log.

    Args:
        window: Of the volume.
        domain: Of it.
        policy: Of domains without a scale of their own.
    """
    told = f"{window.low:g} to {window.high:g} became 0 to 1"
    if domain.window is not None:
        return f"{told}: the window of {domain.name}"
    return f"{told}: percentile {find_percentile(domain, policy):g} of the foreground"
