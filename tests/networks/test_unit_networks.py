"""UNIT's networks: their sizes, what they do to shapes, and what they can't see."""

import pytest
import torch

from i2igalip_cli.networks.initialise import initialise_normal, seeded
from i2igalip_cli.networks.unit import Decoder, Encoder, MultiscaleDiscriminator, SharedBlocks


def begun(make):
    with seeded(0):
        network = make()
        initialise_normal(network, deviation=0.1)
    return network


def draw(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def convolutions(*sizes: tuple[int, int, int]) -> int:
    """Weights and biases of convolutions: kernel, channels in, channels out."""
    return sum(kernel**2 * inwards * out + out for kernel, inwards, out in sizes)


def test_networks_have_the_papers_sizes() -> None:
    """Table 3: 5.4 million each for encoder and decoder, 2.8 for the discriminator."""
    shared = SharedBlocks(256, 1)
    residual = 8 * [(3, 256, 256)]
    expected = {
        "encoder": convolutions((7, 1, 64), (4, 64, 128), (4, 128, 256), *residual),
        "decoder": convolutions(*residual, (4, 256, 128), (4, 128, 64), (7, 64, 1)),
        "discriminator": convolutions(
            (4, 1, 64), (4, 64, 128), (4, 128, 256), (4, 256, 512), (3, 512, 1)
        ),
    }
    networks = {
        "encoder": [Encoder(), shared],
        "decoder": [shared, Decoder()],
        "discriminator": [MultiscaleDiscriminator()],
    }
    found = {k: sum(p.numel() for n in own for p in n.parameters()) for k, own in networks.items()}
    assert found == expected
    assert [round(n / 1e6, 1) for n in found.values()] == [5.4, 5.4, 2.8]


@pytest.mark.parametrize("sides", [(8, 8), (24, 40), (8, 104)])
def test_a_code_is_a_quarter_of_the_sides_and_the_decoder_undoes_that(sides) -> None:
    code = begun(lambda: Encoder(4, 1))(draw(2, 1, *sides))
    assert code.shape == (2, 16, sides[0] // 4, sides[1] // 4)
    slices = begun(lambda: Decoder(4, 1))(code)
    assert slices.shape == (2, 1, *sides)
    assert slices.abs().max() <= 1


def test_a_code_does_not_know_brightness_and_contrast() -> None:
    """Mirrored edges make a constant a constant, and instance norm takes that and scale away."""
    encoder = begun(lambda: Encoder(4, 1))
    slices = draw(1, 1, 16, 24)
    torch.testing.assert_close(encoder(3 * slices + 5), encoder(slices), rtol=0, atol=2e-3)
    turned = encoder(-slices)
    assert (turned - encoder(slices)).abs().max() > 0.1


def test_the_discriminator_knows_brightness() -> None:
    """Its first level has no norm."""
    judge = begun(lambda: MultiscaleDiscriminator(4, 2, 1))
    slices = draw(1, 1, 16, 24)
    assert (judge(slices + 0.5)[0] - judge(slices)[0]).abs().max() > 0.01


def test_every_scale_is_judged_by_the_same_weights() -> None:
    judge, alone = (begun(lambda n=scales: MultiscaleDiscriminator(4, 2, n)) for scales in (3, 1))
    assert judge.state_dict().keys() == alone.state_dict().keys()
    slices = draw(2, 1, 32, 48)
    judged = judge(slices)
    assert [tuple(logits.shape) for logits in judged] == [
        (2, 1, 8, 12),
        (2, 1, 4, 6),
        (2, 1, 2, 3),
    ]
    for scale, logits in enumerate(judged):
        side = 2**scale
        halved = slices.reshape(2, 1, 32 // side, side, 48 // side, side).mean(dim=(3, 5))
        torch.testing.assert_close(logits, alone(halved)[0], rtol=1e-4, atol=1e-5)
