"""What the encoder saw in training: distributions of embeddings, and how a volume lies.

A Gaussian of low rank a domain and plane: probabilistic principal components (Tipping and Bishop,
J. R. Stat. Soc. B 61, 1999), so that a distance needs no inverse of a large matrix.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from i2igalip_cli.config import Plane

Floats = npt.NDArray[np.float32]
LEAST_VOLUMES = 4  # of a domain: what fewer have in common says little of others
LEAST_FAR = 1.25  # relative distance of what is unlike training, where training is all alike
_ARRAYS = ("mean", "directions", "variances")  # of a distribution


@dataclass(frozen=True, kw_only=True, eq=False)
class Distribution:
    """The embeddings of one domain's training slices in one plane.

    Attributes:
        mean: (E,).
        directions: Principal directions, (R, E), orthonormal rows.
        variances: Along them, (R,), above 0.
        residual: Variance along every other direction, above 0.
        usual: Median distance of training volumes that it wasn't fitted to.
        limit: Their 99th percentile, above 0.
    """

    mean: Floats
    directions: Floats
    variances: Floats
    residual: float
    usual: float
    limit: float

    def distance(self, embeddings: npt.NDArray[np.floating[Any]]) -> float:
        """How far a volume's slices lie from the mean, in standard deviations.

        Args:
            embeddings: Of its slices, (n, E).

        Returns:
            Root of the mean over slices and dimensions of the squared Mahalanobis distance.
        """
        away = np.asarray(embeddings, np.float64) - self.mean  # (n, E)
        along = away @ self.directions.T.astype(np.float64)  # (n, E) @ (E, R) -> (n, R)
        rest = np.maximum((away**2).sum(1) - (along**2).sum(1), 0)  # (n,)
        squared = (along**2 / self.variances).sum(1) + rest / self.residual
        return float(np.sqrt(squared.mean() / away.shape[1]))

    def relative(self, embeddings: npt.NDArray[np.floating[Any]]) -> float:
        """The distance in units of the limit: one training volume in a hundred lies above 1."""
        return self.distance(embeddings) / self.limit

    @property
    def far(self) -> float:
        """Relative distance of what isn't like training: twice as far from usual as the limit."""
        return max(2 - self.usual / self.limit, LEAST_FAR)


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingReference:
    """The training data as a checkpoint remembers them.

    Attributes:
        distributions: By domain and plane.
        templates: Mean low-resolution volume of each domain, (G, G, G) along R, A, S.
        likeness: How well training volumes correlate with the templates at least (1st percentile).
        gain: How much better than as it lies a training volume ever correlates with the templates
            when it is turned (99th percentile); negative where it always lies best as it does.
        volumes: How many volumes it was made of.
    """

    distributions: Mapping[tuple[str, Plane], Distribution]
    templates: Mapping[str, Floats]
    likeness: float
    gain: float
    volumes: int

    @property
    def knows_strange(self) -> bool:
        """Whether it saw enough volumes, a domain on average, to tell what is unlike them."""
        return self.volumes >= LEAST_VOLUMES * len(self.templates)

    def pack(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Its arrays by name, and the rest as JSON-ready values."""
        arrays: dict[str, npt.NDArray[Any]] = {}
        rows = []
        for number, ((domain, plane), one) in enumerate(self.distributions.items()):
            arrays |= {f"{number}.{name}": getattr(one, name) for name in _ARRAYS}
            numbers = {"residual": one.residual, "usual": one.usual, "limit": one.limit}
            rows.append({"domain": domain, "plane": plane, **numbers})
        for number, template in enumerate(self.templates.values()):
            arrays[f"template.{number}"] = template
        return arrays, {
            "distributions": rows,
            "templates": list(self.templates),
            "likeness": self.likeness,
            "gain": self.gain,
            "volumes": self.volumes,
        }

    @classmethod
    def unpack(
        cls, arrays: Mapping[str, npt.NDArray[Any]], record: Mapping[str, Any]
    ) -> "TrainingReference":
        """Undo `pack`.

        Raises:
            KeyError: Something is missing.
            TypeError: A value of another kind.
            ValueError: A limit that isn't above 0.
        """
        found: dict[tuple[str, Plane], Distribution] = {}
        for number, row in enumerate(record["distributions"]):
            if not float(row["limit"]) > 0:  # every distance is divided by it
                raise ValueError(f"limit {row['limit']} of {row['domain']} isn't above 0")
            mean, directions, variances = (
                arrays[f"{number}.{name}"].astype(np.float32) for name in _ARRAYS
            )
            found[(row["domain"], row["plane"])] = Distribution(
                mean=mean,
                directions=directions,
                variances=variances,
                residual=float(row["residual"]),
                usual=float(row["usual"]),
                limit=float(row["limit"]),
            )
        return cls(
            distributions=found,
            templates={
                name: arrays[f"template.{number}"].astype(np.float32)
                for number, name in enumerate(record["templates"])
            },
            likeness=float(record["likeness"]),
            gain=float(record["gain"]),
            volumes=int(record["volumes"]),
        )
