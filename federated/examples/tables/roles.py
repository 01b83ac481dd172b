"""The roles of a table's columns: target, features, client id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from federated.metrics.tasks import Targets


@dataclass(frozen=True)
class Roles:
    """The roles of a table's columns, as `table` documents them. Raises ValueError on contradictions."""

    target: str | tuple[str, ...] | None
    client: str | None = None
    task: Targets | None = None
    numeric: tuple[str, ...] | None = None
    categorical: tuple[str, ...] | None = None
    drop: tuple[str, ...] = ()
    missing: Literal["impute", "error"] = "impute"
    weights: str | None = None

    @property
    def targets(self) -> tuple[str, ...]:
        """The target columns; none where targets are beside the table."""
        return (self.target,) if isinstance(self.target, str) else tuple(self.target or ())

    def __post_init__(self) -> None:
        if self.target == () or len(set(self.targets)) < len(self.targets):
            raise ValueError(f"target must name different columns, at least one, got {list(self.targets)}")
        if self.client in self.targets:
            raise ValueError(f"client must be another column than target, got {self.client!r} for both")
        if self.weights is not None and self.weights in (*self.targets, self.client):
            raise ValueError(f"weights must be a column of its own, got {self.weights!r}")
        numeric, categorical = self.numeric or (), self.categorical or ()
        for column in (*numeric, *categorical):
            for role, others in self._apart().items():
                if column in others:
                    raise ValueError(
                        f"{role} must not be a feature, but {column!r} is also in numeric or categorical"
                    )
            if column in self.drop:
                raise ValueError(
                    f"drop must not name features, but {column!r} is also in numeric or categorical"
                )
        if both := sorted(set(numeric) & set(categorical)):
            raise ValueError(f"categorical must not name numeric columns, but {both[0]!r} is in both")
        if dropped := [column for column in self.targets if column in self.drop]:
            raise ValueError(f"drop must not name the target column {dropped[0]!r}")
        if self.weights in self.drop:
            raise ValueError(f"drop must not name the column of weights {self.weights!r}")

    def _apart(self) -> dict[str, tuple[str | None, ...]]:
        """Role -> its columns, which are no features."""
        return {"target": self.targets, "client": (self.client,), "weights": (self.weights,)}

    def named(self) -> list[tuple[str, str]]:
        """(role for messages, column) of every column that is named."""
        single = [("client", self.client), ("weights", self.weights)]
        targets = [("target", column) for column in self.targets]
        many = [("numeric", self.numeric), ("categorical", self.categorical), ("drop", self.drop)]
        listed = [(role, column) for role, columns in many for column in columns or ()]
        return targets + [(role, column) for role, column in single if column is not None] + listed
