"""An entry of the `parameters` section: what gradients are taken with respect to."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from diffmd.spec import Spec, quantity


class ParameterSpec(Spec):
    """What is learned, and how. Reported gradients are of the physical value; bounds and transform concern the
    optimizer alone. Learned positions are those in the box that the config has; they move along with one that is
    learned, too."""

    path: str = quantity(
        doc="Path in this config: potentials.lj.sigma, potentials.*.sigma, potentials.angle.theta0.0, "
        "system.atoms.0.mass, system.positions[0:10], system.box, dynamics.thermostat.temperature, ..."
    )
    per: Literal["value", "type", "term"] = quantity(
        "value",
        doc="value: as it stands in the config; type: a scalar is made into one value a type; "
        "term: a scalar is made into one value a bond or angle.",
    )
    lower: float | None = quantity(
        None, doc="Updates are projected to at least this (angles: radians, or 110 deg).", unit="of the parameter"
    )
    upper: float | None = quantity(
        None, doc="Updates are projected to at most this (angles: radians, or 110 deg).", unit="of the parameter"
    )
    transform: Literal["none", "positive"] = quantity(
        "none", doc="positive: the optimizer works on x with value = softplus(x) = log(1 + exp x)."
    )
    tie: list[str] = quantity([], doc="Paths that always have the value of `path`, which owns their gradient too.")
    learning_rate: float | None = quantity(None, doc="Learning rate of this parameter; null: the optimizer's.", ge=0)


def _from_path(value: Any) -> Any:
    if isinstance(value, str):
        return {"path": value}
    if not isinstance(value, (dict, ParameterSpec)):
        raise ValueError("an entry is a path such as potentials.lj.sigma, or {path: ..., lower: ...}")
    return value


Parameter = Annotated[ParameterSpec, BeforeValidator(_from_path, json_schema_input_type=str | ParameterSpec)]
"""A path, or a path with options."""
