"""Which domains settings speak of: known ones, and people's own with their captions."""

from dataclasses import replace

from i2igalip_cli.config import PrepareConfig
from i2igalip_cli.domains import CT_WINDOW, DOMAINS, MODALITIES, Domain, Modality
from i2igalip_cli.engine.prepare.cutting import name_file
from i2igalip_cli.errors import ConfigError


def name_domains(settings: PrepareConfig) -> dict[str, Domain]:
    """The domains that the settings' patterns name, with their captions and modalities.

    Raises:
        ConfigError: A domain without a caption, a caption or modality without a domain, or another
            modality than a known domain has.
    """
    patterns = settings.layout.patterns
    for what, told in (("caption", settings.captions), ("modality", settings.modalities)):
        stray = [name for name in told if name not in patterns]
        if stray:
            raise ConfigError(f"a {what} for '{stray[0]}', but no pattern finds its volumes")
    found = {}
    for name in patterns:
        if name_file(name) != name:
            raise ConfigError(f"domain '{name}': letters, digits, '_', '-' and '.' make a name")
        if name not in DOMAINS and name not in settings.captions:
            raise ConfigError(
                f"unknown domain '{name}': known are {', '.join(DOMAINS)}; give a new one its "
                f"caption with --caption {name}='...'"
            )
        known = DOMAINS.get(name) or _new_domain(name, settings)
        if _find_modality(name, settings) not in (None, known.modality):
            raise ConfigError(f"{name} is {known.modality}; give another domain a name of its own")
        found[name] = replace(known, caption=settings.captions.get(name, known.caption))
    return found


def _new_domain(name: str, settings: PrepareConfig) -> Domain:
    """A domain that only the settings know; CT has the window of all CT.

    Raises:
        ConfigError: A modality that isn't known.
    """
    modality = _find_modality(name, settings) or "MR"
    window = CT_WINDOW if modality == "CT" else None
    return Domain(name=name, caption=settings.captions[name], modality=modality, window=window)


def _find_modality(name: str, settings: PrepareConfig) -> Modality | None:
    """What settings say that a domain is; None where they say nothing.

    Raises:
        ConfigError: A modality that isn't known.
    """
    said = settings.modalities.get(name)
    found = next((one for one in MODALITIES if said is not None and one == said.upper()), None)
    if said is not None and found is None:
        raise ConfigError(f"modality of {name}: '{said}', of {', '.join(MODALITIES)}")
    return found
