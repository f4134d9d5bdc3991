"""Settings as files have them: TOML, JSON and the command line in, plain values out."""

import dataclasses
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from i2igalip_cli.config.data import DomainScale, PrepareConfig
from i2igalip_cli.config.methods import CONFIGS
from i2igalip_cli.config.training import TrainConfig
from i2igalip_cli.errors import ConfigError

_Config = TypeVar("_Config")
DEFAULT_METHOD = "galip"


def parse_assignments(option: str, texts: Sequence[str]) -> dict[str, str]:
    """Texts such as T1='*T1*', as on the command line.

    Args:
        option: Whose they are, for the message.
        texts: DOMAIN=TEXT each.

    Raises:
        ConfigError: A text without "=", or one domain twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not (name and value) or name in found:
            raise ConfigError(f"{option} '{text}': write DOMAIN='...', each domain once")
        found[name] = value
    return found


def parse_scales(
    windows: Sequence[str], percentiles: Sequence[str]
) -> tuple[float | None, dict[str, DomainScale]]:
    """Windows and percentiles as on the command line.

    Args:
        windows: DOMAIN=LOW,HIGH each.
        percentiles: DOMAIN=P each; one may be P alone.

    Returns:
        The percentile of all domains, None where none is said; and the scales by domain.

    Raises:
        ConfigError: What is no number, no window or no percentile, or two things for one domain.
    """
    general = [text for text in percentiles if "=" not in text]
    if len(general) > 1:
        raise ConfigError(f"--percentile {' and '.join(general)}: one for all domains")
    own = [text for text in percentiles if "=" in text]
    scales: dict[str, dict[str, Any]] = {}
    for name, text in parse_assignments("--window", windows).items():
        scales.setdefault(name, {})["window"] = _parse_numbers("--window", text, 2)
    for name, text in parse_assignments("--percentile", own).items():
        scales.setdefault(name, {})["percentile"] = _parse_numbers("--percentile", text, 1)[0]
    for_all = _parse_numbers("--percentile", general[0], 1)[0] if general else None
    return for_all, {name: from_dict(DomainScale, values) for name, values in scales.items()}


def _parse_numbers(option: str, text: str, count: int) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        raise ConfigError(f"{option} '{text}': {('a number', 'LOW,HIGH')[count - 1]} is expected")
    return numbers


def to_dict(config: object) -> dict[str, Any]:
    """The configuration as JSON-ready values."""
    return dataclasses.asdict(config)  # type: ignore[call-overload,no-any-return]  # any dataclass


def from_dict(kind: type[_Config], values: Mapping[str, Any]) -> _Config:
    """Build a configuration, its nested ones included, from plain values.

    Args:
        kind: The dataclass to build.
        values: Settings by name; absent ones keep their default.

    Raises:
        ConfigError: An unknown setting or a value out of range.
    """
    known = {one.name for one in dataclasses.fields(kind)}  # type: ignore[arg-type]  # a dataclass
    hints = {name: hint for name, hint in get_type_hints(kind).items() if name in known}
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise ConfigError(
            f"{kind.__name__} has no setting {', '.join(unknown)}; it has {', '.join(hints)}"
        )
    arguments = {name: _build(kind, name, hints[name], value) for name, value in values.items()}
    try:
        return kind(**arguments)
    except TypeError as error:
        raise ConfigError(f"{kind.__name__}: a value of the wrong type ({error})") from error


def _build(owner: type, name: str, hint: Any, value: object) -> Any:  # noqa: ANN401 (as below)
    """A setting's value from a plain one: a configuration, a mapping to several, or itself."""
    nested, inner = _is_config(hint), get_args(hint)[-1:]  # of a mapping: what its names stand for
    if nested and isinstance(value, Mapping):
        return from_dict(hint, value)
    if inner and _is_config(inner[0]) and isinstance(value, Mapping):
        return {key: _build(owner, f"{name}.{key}", inner[0], one) for key, one in value.items()}
    if nested or not _fits(hint, value):
        wanted = hint.__name__ if isinstance(hint, type) else re.sub(r"\w+\.", "", str(hint))
        raise ConfigError(f"{owner.__name__}: {name} = {value!r} is not of the kind {wanted}")
    return tuple(value) if isinstance(value, list) else value


def _is_config(hint: Any) -> bool:  # noqa: ANN401 (as below)
    return isinstance(hint, type) and dataclasses.is_dataclass(hint)


def _fits(hint: Any, value: object) -> bool:  # noqa: ANN401 (annotations have no common type)
    """Whether a plain value is of an annotation's kind; whole numbers may stand for others."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return isinstance(value, str)  # which one it may be, the configuration itself says
    if origin in (Union, UnionType):
        return any(_fits(one, value) for one in inner)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            return False
        kinds = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        return len(kinds) == len(value) and all(map(_fits, kinds, value))
    if hint in (int, float):
        kinds = (int, float) if hint is float else (int,)
        return isinstance(value, kinds) and not isinstance(value, bool)
    return not isinstance(origin or hint, type) or isinstance(value, origin or hint)


def make_train_config(values: Mapping[str, Any]) -> TrainConfig:
    """Build the settings of the method that they name.

    Args:
        values: Settings by name; absent ones keep the method's default, and an absent method is
            I2I-Galip.

    Raises:
        ConfigError: An unknown method or setting, or a value out of range.
    """
    method = values.get("method", DEFAULT_METHOD)
    if method not in CONFIGS:
        raise ConfigError(f"unknown method '{method}': known are {', '.join(CONFIGS)}")
    return from_dict(CONFIGS[method], values)


def load_train_config(
    path: Path | None = None, changes: Sequence[str] = (), method: str | None = None
) -> TrainConfig:
    """Read the training settings of a settings file: all of it but the table [prepare].

    Args:
        path: The file; without one the settings of the papers.
        changes: NAME=VALUE each, over the file's: a dotted name and a value in TOML, such as
            "weights.cls=0"; text may go without its quotes.
        method: Over the file's; None leaves it.

    Raises:
        ConfigError: The file is absent, is not TOML, or holds unknown settings.
    """
    values = {} if path is None else _read_toml(path)
    values.pop("prepare", None)
    for change in changes:
        _merge(values, _read_change(change))
    return make_train_config(values if method is None else {**values, "method": method})


def _read_change(text: str) -> dict[str, Any]:
    name, separator, value = text.partition("=")
    # Words needn't be quoted; what looks like a list or a number is one.
    plain = re.fullmatch(r"[A-Za-z./~][^\"']*", value) and value not in ("true", "false")
    written = json.dumps(value) if plain else value
    try:
        if separator and name.strip():
            return tomllib.loads(f"{name} = {written}")
    except tomllib.TOMLDecodeError:
        pass
    raise ConfigError(f"--set '{text}': write NAME=VALUE, such as weights.cls=0 or ema_decay=0.999")


def _merge(values: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Put nested values over nested values, in place."""
    for name, value in changes.items():
        if isinstance(value, Mapping) and isinstance(values.get(name), dict):
            _merge(values[name], value)
        else:
            values[name] = value


def load_prepare_config(path: Path) -> PrepareConfig:
    """Read the table [prepare] of a settings file.

    Raises:
        ConfigError: The file is absent, is not TOML, or holds unknown settings.
    """
    return from_dict(PrepareConfig, _read_toml(path).get("prepare", {}))


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"can't read the configuration {path}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
