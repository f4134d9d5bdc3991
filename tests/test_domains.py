import pytest

from i2igalip_cli.domains import DOMAINS, find_domain
from i2igalip_cli.errors import ConfigError


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=lambda d: d.name)
def test_a_domain_is_found_by_name_and_caption_in_any_case(domain) -> None:
    for text in (domain.name.lower(), domain.name.upper(), f" {domain.caption.upper()} "):
        assert find_domain(text, DOMAINS.values()) is domain


def test_an_unknown_domain_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"unknown domain 'FLAIR'.*T1.*T2.*PD"):
        find_domain("FLAIR", DOMAINS.values())
