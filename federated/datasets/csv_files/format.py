"""The format of a CSV file as stated in a study file: separator, encoding, header and number marks."""

from __future__ import annotations

from dataclasses import dataclass, fields

from federated.preprocessing.number_marks import Marks


@dataclass(frozen=True)
class CsvFormat:
    """As `table` documents. Raises ValueError where the fields contradict each other."""

    separator: str = ","
    missing_values: tuple[str, ...] = ()
    decimal: str = "."
    thousands: str | None = None
    encoding: str | None = None
    header: int | None = None
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for field in ("separator", "decimal", "thousands"):
            mark = getattr(self, field)
            if mark is not None and len(mark) != 1:
                tab = '; a tab is "\\t", in double quotes' if field == "separator" else ""
                raise ValueError(f"{field} must be one character, got {mark!r}{tab}")
        for field in ("decimal", "thousands"):
            if (mark := getattr(self, field)) is not None and (mark.isalnum() or mark in '+-"\n\r'):
                raise ValueError(f"{field} must be a mark such as a comma or a point, got {mark!r}")
        if self.decimal == self.thousands:
            raise ValueError(f"thousands must be another mark than decimal, got {self.thousands!r} for both")
        if self.separator in '"\n\r':
            raise ValueError(
                f"separator must be neither a quotation mark nor a line end, got {self.separator!r}"
            )
        if "" in self.missing_values:
            raise ValueError("missing_values must not hold an empty text, which is missing in any case")
        self._check_encoding()
        self._check_header()

    def _check_encoding(self) -> None:
        try:
            "a".encode(self.encoding or "utf-8")
        except LookupError as error:
            raise ValueError(
                f"encoding {self.encoding!r} is not known; such as utf-8, cp1252 (Windows), latin-1, utf-16"
            ) from error

    def _check_header(self) -> None:
        if self.header is not None and not 0 <= self.header <= 1000:
            raise ValueError(
                f"header must be the number of the line with the columns' names, from 1, or 0 where there is none, "
                f"got {self.header}"
            )
        if self.names is None:
            return
        if not self.names:
            raise ValueError("names must name the columns, got none")
        if twice := [name for name in self.names if self.names.count(name) > 1]:
            raise ValueError(f"names must differ, got {twice[0]!r} more than once")

    @property
    def header_line(self) -> int:
        """The line with the names of the columns, from 1; 0: there is none."""
        if self.header is not None:
            return self.header
        return 1 if self.names is None else 0

    @property
    def marks(self) -> Marks:
        """The marks with which numbers are written."""
        return Marks(self.decimal, self.thousands)

    def stated(self) -> list[str]:
        """The fields that differ from their default."""
        return [field.name for field in fields(self) if getattr(self, field.name) != field.default]
