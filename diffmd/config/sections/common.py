"""Field types that several sections share."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from diffmd.spec import NAME

Name = Annotated[str, Field(pattern=f"^{NAME}$", max_length=100)]
"""A name of the user's own, as it may stand in a path."""

TypeName = Annotated[str, Field(pattern=r"^[^\s\x00-\x1f\x7f]+$", max_length=100)]
"""A type of atoms, whatever force fields call it: ``C.2``, ``DNA-N*``. In a path it stands in quotes if it must."""

Vector = Annotated[list[float], Field(min_length=3, max_length=3)]
Positive = Annotated[float, Field(gt=0)]
Edges = Annotated[list[Positive], Field(min_length=3, max_length=3)]
Vectors = Annotated[list[Vector], Field(min_length=3, max_length=3)]
