"""Replicas over the devices of one kind: each device runs its equal share of them, and none waits for another.

No number passes between devices but the random keys before a segment, what the host looks at after it (the worst of
the reports, the norms), and the sums over replicas at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

_REPLICAS = "replicas"
BESIDE = "beside"
"""The axis of the replicas that one device runs side by side, for what they decide together."""

Devices = tuple[jax.Device, ...]
"""Where replicas run; none named: the one device that computes."""


def computing() -> list[jax.Device]:
    """The devices of the kind that computes by default, in this process."""
    (device,) = jnp.zeros(()).devices()
    return jax.local_devices(backend=device.platform)


def devices_for(count: int) -> Devices:
    """The devices that take `count` replicas: as many as share them out evenly; none named where that is one."""
    own = computing()
    most = max(number for number in range(1, len(own) + 1) if count % number == 0)
    return tuple(own[:most]) if most > 1 else ()


def memories(devices: Devices) -> int:
    """How many memories of their own the devices have: those of a host share one."""
    return len(devices) if devices and devices[0].memory_stats() else 1


def side_by_side(function: Callable[..., Any], axes: Sequence[Any], devices: Devices) -> Callable[..., Any]:
    """The function of one replica, of all of them; every array of its result has the replicas first.

    Args:
        axes: for each argument, or each array of it: 0 where replicas come first, None where they share it.
    """
    every = jax.vmap(function, tuple(axes), axis_name=BESIDE)
    if not devices:
        return every
    # Replicas never meet, so there is nothing for JAX to check about which device has which value; and the check asks
    # that hand-written derivatives annotate theirs.
    return jax.shard_map(
        every, mesh=_mesh(devices), in_specs=_specs(tuple(axes)), out_specs=PartitionSpec(_REPLICAS), check_vma=False
    )


def placed(arrays: Any, axes: Any, devices: Devices) -> Any:
    """The arrays where `side_by_side` wants them, so that no call of it moves them again."""
    if not devices:
        return arrays
    mesh = _mesh(devices)
    shardings = jax.tree.map(lambda spec: NamedSharding(mesh, spec), _specs(axes), is_leaf=_is_spec)
    return jax.device_put(arrays, shardings)


def _mesh(devices: Devices) -> Mesh:
    return Mesh(list(devices), (_REPLICAS,))


def _specs(axes: Any) -> Any:
    return jax.tree.map(
        lambda axis: PartitionSpec() if axis is None else PartitionSpec(_REPLICAS), axes, is_leaf=lambda x: x is None
    )


def _is_spec(x: Any) -> bool:
    return isinstance(x, PartitionSpec)
