"""The roles of a table's columns: target, features, client id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from federated.metrics.tasks import Targets


@dataclass(frozen=True)
class Roles:
    """The roles of a table's columns, as `table` documents them. Raises ValueError on contradictions."""

    target: str | None
    client: str | None = None
    task: Targets | None = None
    numeric: tuple[str, ...] | None = None
    categorical: tuple[str, ...] | None = None
    drop: tuple[str, ...] = ()
    missing: Literal["impute", "error"] = "impute"

    def __post_init__(self) -> None:
        if self.target is not None and self.target == self.client:
            raise ValueError(f"client must be another column than target, got {self.client!r} for both")
        numeric, categorical = self.numeric or (), self.categorical or ()
        for column in (*numeric, *categorical):
            for role in ("target", "client"):
                if column == getattr(self, role):
                    raise ValueError(
                        f"{role} must not be a feature, but {column!r} is also in numeric or categorical"
                    )
            if column in self.drop:
                raise ValueError(
                    f"drop must not name features, but {column!r} is also in numeric or categorical"
                )
        if both := sorted(set(numeric) & set(categorical)):
            raise ValueError(f"categorical must not name numeric columns, but {both[0]!r} is in both")
        if self.target in self.drop:
            raise ValueError(f"drop must not name the target column {self.target!r}")

    def named(self) -> list[tuple[str, str]]:
        """(role for messages, column) of every column that is named."""
        single = [("target", self.target), ("client", self.client)]
        many = [("numeric", self.numeric), ("categorical", self.categorical), ("drop", self.drop)]
        listed = [(role, column) for role, columns in many for column in columns or ()]
        return [(role, column) for role, column in single if column is not None] + listed
