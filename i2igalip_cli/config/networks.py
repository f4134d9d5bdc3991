"""Sizes of I2I-Galip's networks; defaults are the paper's."""

from dataclasses import dataclass

from i2igalip_cli.config.faults import raise_faults


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """Sizes of the generator; the defaults give the paper's 13,242,881 parameters.

    Attributes:
        domains: Rows of the table of target domains.
        context: Width of a caption token: 512 for the pooled embedding, 768 for BERT's tokens.
        width: Channels of the first level.
        multipliers: Channel multiplier of each level; each level but the first halves the side.
        residual_blocks: Residual blocks a level on the way down (one more on the way up).
        attention_reductions: Levels, by their reduction of the side, with a spatial transformer.
        head_width: Channels of one attention head.
        embedding: Width of the domain embedding added in each residual block.
        norm_groups: Groups of each GroupNorm (at most the channels it normalises).
    """

    domains: int = 3
    context: int = 512
    width: int = 32
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4, 4)
    residual_blocks: int = 2
    attention_reductions: tuple[int, ...] = (8, 16, 32)
    head_width: int = 32
    embedding: int = 128
    norm_groups: int = 32

    def __post_init__(self) -> None:
        """Report sizes that no network can have."""
        widths = [self.width * multiplier for multiplier in self.multipliers]
        attended = [
            width for level, width in enumerate(widths) if 2**level in self.attention_reductions
        ]
        deepest = 2 ** (len(self.multipliers) - 1)
        raise_faults(
            self,
            [
                (self.domains < 1, f"domains = {self.domains}: at least 1"),
                (self.context < 1, f"context = {self.context}: at least 1"),
                (not self.multipliers, "multipliers: at least one level"),
                (min(self.multipliers, default=1) < 1, "multipliers: whole numbers from 1"),
                (self.residual_blocks < 1, "residual_blocks: at least 1"),
                (
                    any(width % self.norm_groups for width in widths),
                    f"norm_groups = {self.norm_groups} doesn't divide the widths {widths}",
                ),
                (
                    any(width % self.head_width for width in attended),
                    f"head_width = {self.head_width} doesn't divide the widths {attended}",
                ),
                (
                    any(r > deepest or r & (r - 1) for r in self.attention_reductions),
                    f"attention_reductions: powers of 2 up to {deepest}",
                ),
            ],
        )

    @property
    def side_multiple(self) -> int:
        """What the height and width of a slice must be a multiple of."""
        return int(2 ** (len(self.multipliers) - 1))


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """The projected discriminator heads of one domain (sizes of the paper).

    Attributes:
        blocks: Encoder blocks (from 0) whose normed patch tokens get a head each.
        kernel: Kernel of the residual convolution along the tokens.
        projection: Width in which features and caption are compared.
    """

    blocks: tuple[int, ...] = (2, 5, 8, 11)
    kernel: int = 9
    projection: int = 64

    def __post_init__(self) -> None:
        """Report sizes that no head can have."""
        raise_faults(
            self,
            [
                (not self.blocks, "blocks: at least one"),
                (self.kernel % 2 == 0, f"kernel = {self.kernel}: an odd number"),
                (self.projection < 1, "projection: at least 1"),
            ],
        )
