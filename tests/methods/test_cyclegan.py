"""CycleGAN: its pools, its losses, and which network learns from which."""

import pytest
import torch
from conftest import tiny_config

from i2igalip_cli.domains import DOMAINS
from i2igalip_cli.methods.__main__ import EncoderSizes
from i2igalip_cli.methods.adversarial import Made
from i2igalip_cli.methods.chance import Chance
from i2igalip_cli.methods.cyclegan import CycleGan, SlicePool
from i2igalip_cli.methods.pair import Pair, to_signed, to_unit


def build(**changes) -> CycleGan:
    config = tiny_config(method="cyclegan", **changes)
    return CycleGan(config, [DOMAINS["T1"], DOMAINS["T2"]], torch.eye(2, 8), None, EncoderSizes())


def chance(*seeds: int) -> Chance:
    return Chance(torch.tensor(seeds), torch.device("cpu"))


def pair(pairs: int = 2) -> Pair:
    draw = torch.Generator().manual_seed(0)
    first, second = (torch.rand(pairs, 1, 32, 24, generator=draw) for _ in range(2))
    return Pair(first=to_signed(first), second=to_signed(second), chance=chance(*range(pairs)))


class Constant(torch.nn.Module):
    """Says one thing of every slice."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, x):
        return torch.full_like(x, self.value)


def test_a_pool_shows_what_comes_until_it_is_full_and_half_of_it_then() -> None:
    pool = SlicePool(4)
    first = torch.arange(4.0).view(4, 1, 1, 1)
    assert torch.equal(pool.exchange(first, chance(*range(4))), first)
    later = torch.arange(100.0, 300.0).view(200, 1, 1, 1)
    shown = pool.exchange(later, chance(*range(200)))
    old = (shown != later).flatten()
    assert 60 < int(old.sum()) < 140  # half of 200, give or take six deviations
    # Every slice is shown at once, or kept and shown once later, or still kept.
    everything = sorted([*shown.flatten().tolist(), *(s.item() for s in pool.slices)])
    assert everything == sorted([*first.flatten().tolist(), *later.flatten().tolist()])


def test_a_pool_of_nothing_shows_what_comes() -> None:
    made = torch.rand(3, 1, 2, 2)
    assert torch.equal(SlicePool(0).exchange(made, chance(1, 2, 3)), made)


def test_the_generators_losses_by_hand() -> None:
    """Generators that say 0 and discriminators that say 0.25 of everything."""
    method = build()
    for name in method.exported:
        method.exported[name] = Constant(0.0)
    method.judge_first = method.judge_second = Constant(0.25)
    given = pair()
    terms, made = method.teach_generators(given)
    distance = given.first.abs().mean() + given.second.abs().mean()
    assert terms["adversarial"] == (1.0, pytest.approx(2 * 0.75**2))
    assert terms["cycle"] == (10.0, pytest.approx(float(distance)))
    assert terms["identity"] == (5.0, pytest.approx(float(distance)))  # 0.5 of the cycle's 10
    assert made.first.eq(0).all()
    # (0.25 - 1)^2 of real and 0.25^2 of made slices, of two domains, halved
    (weight, judged) = method.teach_discriminators(given, made)["discriminator"]
    assert weight * judged == pytest.approx(0.75**2 + 0.25**2)


def test_each_generator_is_judged_in_the_domain_it_makes() -> None:
    method = build()
    method.exported["generator_to_first"] = Constant(-1.0)
    method.exported["generator_to_second"] = Constant(1.0)
    seen = {}
    for side in ("first", "second"):
        judge = getattr(method, f"judge_{side}")
        judge.register_forward_hook(lambda _, given, out, side=side: seen.update({side: given[0]}))
    _, made = method.teach_generators(pair())
    assert seen["first"].eq(-1).all()
    assert seen["second"].eq(1).all()
    assert made.first.eq(-1).all()
    assert made.second.eq(1).all()


def test_the_generators_turn_leaves_the_discriminators_without_gradients() -> None:
    method = build()
    updates = []
    update = method.update

    def watch(name: str) -> None:
        learned = {
            side: any(p.grad is not None for n in networks for p in n.parameters())
            for side, networks in (
                ("generators", [method.exported]),
                ("discriminators", method.judges()),
            )
        }
        updates.append((name, learned))
        update(name)

    method.update = watch
    from test_methods import batch

    method.step(batch(0, "cyclegan"))
    assert updates == [
        ("generators", {"generators": True, "discriminators": False}),
        ("discriminators", {"generators": False, "discriminators": True}),
    ]


def test_translate_takes_the_generator_of_the_target() -> None:
    method = build()
    method.exported["generator_to_first"] = Constant(-1.0)
    method.exported["generator_to_second"] = Constant(1.0)
    slices = torch.rand(1, 1, 8, 8)
    assert method.translate(slices, None, DOMAINS["T1"]).eq(0).all()
    assert method.translate(slices, None, DOMAINS["T2"]).eq(1).all()


def test_slices_are_sorted_by_domain() -> None:
    from test_methods import batch

    given = batch(0, "cyclegan")
    assert given.first_domains.tolist() == [0, 1]
    sorted_ = Pair.of(given)
    torch.testing.assert_close(
        to_unit(sorted_.first), torch.stack([given.first[0], given.second[1]])
    )
    torch.testing.assert_close(
        to_unit(sorted_.second), torch.stack([given.second[0], given.first[1]])
    )


def test_a_method_of_one_way_makes_nothing_of_the_other_domain() -> None:
    assert Made(second=torch.zeros(1)).first is None
