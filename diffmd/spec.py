"""The base of every config section: a strict model, fields that know their unit, and the registry of kinds."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar, Union

from pydantic import BaseModel, ConfigDict, Field

NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
FUNCTION = r"^([^:]*\.py|[A-Za-z_][\w.]*):[A-Za-z_]\w*$"
"""A function of the user's: ``./mine.py:function`` or ``package.module:function``."""


class Spec(BaseModel):
    """One section of a config: unknown keys, wrong types, nan and infinity are refused; nothing is coerced.

    Validators are made when first used: of most kinds never, since the whole config's validator holds its own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True)


def quantity(
    default: Any = ...,
    *,
    doc: str,
    unit: str = "1",
    gt: float | None = None,
    ge: float | None = None,
    lt: float | None = None,
    le: float | None = None,
) -> Any:
    """A documented field of a `Spec`.

    Args:
        default: the default; ``...`` makes the field mandatory.
        doc: what it means, with its convention (which factor, which sign).
        unit: dimension of the value, such as ``length`` or ``energy/length^2``; ``1`` for a pure number. A config may
            write such a value with a unit, ``3.4 A``; it is a plain number before it comes here.
        gt, ge, lt, le: bounds.
    """
    return Field(default, description=doc, json_schema_extra={"unit": unit}, gt=gt, ge=ge, lt=lt, le=le)


Kind = TypeVar("Kind", bound=Spec)


class Family:
    """The kinds of one thing (potentials, integrators, ...), each a `Spec` with ``kind: Literal["name"]``.

    A class joins with the decorator ``@POTENTIALS.register``. `union` is the discriminated union of all that have
    joined; the config schema asks for it once every module of the family is imported. A member may hold another of its
    own family: it annotates the field with the name ``Any`` and the family's name (``AnyObservable``), which `union`
    resolves.
    """

    def __init__(self, name: str, discriminator: str = "kind") -> None:
        self.name = name
        self.discriminator = discriminator
        self.members: dict[str, type[Spec]] = {}

    def register(self, spec: type[Kind]) -> type[Kind]:
        """Class decorator: adds `spec` under its kind. Raises ValueError if the kind is taken."""
        kind = spec.model_fields[self.discriminator].default
        if kind in self.members:
            raise ValueError(f"two {self.name}s of kind {kind}")
        self.members[kind] = spec
        return spec

    def union(self) -> Any:
        """The type "one of the registered kinds", told apart by ``kind`` (or the family's own discriminator)."""
        members = Union[tuple(self.members.values())]  # type: ignore[valid-type]  # noqa: UP007
        union: Any = Annotated[members, Field(discriminator=self.discriminator)]
        for member in self.members.values():
            if not member.__pydantic_fields_complete__:
                member.model_rebuild(_types_namespace={f"Any{self.name.capitalize()}": union})
        return union


POTENTIALS = Family("potential")
INTEGRATORS = Family("integrator")
THERMOSTATS = Family("thermostat")
OBSERVABLES = Family("observable")
CUTOFFS = Family("cutoff")
METHODS = Family("gradient method", "method")
OPTIMIZERS = Family("optimizer")
SCHEDULES = Family("schedule")
