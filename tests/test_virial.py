"""The virial of every family of potentials against a strained box, its derivatives, and ASE's stress."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.experiments import experiment

from diffmd.box import Box, displacement
from diffmd.forcefield import ForceField
from diffmd.neighbors import AllPairs, NeighborList, build, plan
from diffmd.potentials.python import PythonPotential

BOXES = {
    "orthorhombic": np.diag([4.0, 4.2, 4.4]),
    "triclinic": np.array([[4.0, 0, 0], [1.5, 4.2, 0], [-1.2, 1.4, 4.4]]),
}
NETWORK = {"widths": [4], "activations": ["tanh", "tanh"]}
# They reach around the box, and are bent.
ATOMS = [[0, 1, 25], [2, 20, 8], [5, 4, 13]]
LINKS = [[0, 18], [1, 2], [6, 8], [26, 0]]


def attraction(positions, box, neighbors, types, parameters):
    """Of the pairs in the list: not harmonic, and different by type."""
    if isinstance(neighbors, AllPairs):
        other = jnp.arange(len(positions))[None, :]
    else:
        assert isinstance(neighbors, NeighborList)
        other = neighbors.indices
    d = displacement(box, positions[:, None], positions[other])
    r2 = jnp.where(neighbors.mask, jnp.sum(d * d, axis=-1), 1)
    inside = neighbors.mask & (r2 < 1.6**2)
    depth = parameters["a"] * (1 + types[:, None] + types[other])
    return -jnp.sum(jnp.where(inside, depth * (1.6**2 - r2) ** 3, 0)) / 2


def field_and_values(shape: str, mode: str) -> tuple[ForceField, dict]:
    h = BOXES[shape]
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    x = (grid + np.random.default_rng(2).uniform(-0.12, 0.12, grid.shape)) / 3 @ h
    x[[0, 8, 20]] += [[2, 0, -1], [0, 1, 0], [-1, -1, 3]] @ h
    built = experiment(
        {
            "box": h.tolist() if shape == "triclinic" else np.diag(h).tolist(),
            "atoms": [{"type": "A", "count": 20, "mass": 1.0}, {"type": "B", "count": 7, "mass": 2.0}],
            "positions": {"kind": "inline", "values": x.tolist()},
            "exclusions": 1,
        },
        {
            "lj": {"kind": "lennard_jones", "sigma": {"A": 1.0, "B": 0.9}, "epsilon": 0.7,
                   "cutoff": {"kind": "shifted_force", "distance": 1.7}},
            "lj2": {"kind": "lennard_jones", "sigma": 0.6, "epsilon": 0.1,
                    "cutoff": {"kind": "switch", "distance": 1.75, "from": 1.5}},
            "bond": {"kind": "harmonic_bond", "bonds": LINKS, "r0": 1.0, "k": 30.0},
            "angle": {"kind": "harmonic_angle", "angles": ATOMS, "theta0": 1.9, "k": 5.0},
            "force": {"kind": "neural_bond", "bonds": LINKS, "output": "force", **NETWORK},
            "energy": {"kind": "neural_bond", "bonds": LINKS, "output": "energy", **NETWORK},
        },
    )  # fmt: skip
    system = built.systems[0].problem.dynamics.system
    mine = PythonPotential(
        {"parameters.a": np.array(0.3)}, 1.7, attraction, system.types, "mine", "potentials.mine.function"
    )
    potentials = built.systems[0].problem.dynamics.forcefield.potentials
    values = dict(built.systems[0].values) | {"potentials.mine.parameters.a": jnp.asarray(0.3)}
    return ForceField.create(system, {**potentials, "mine": mine}, mode), values


def listed(field: ForceField, x, h: np.ndarray, shape: str, kind: str):
    """A list that holds what a small strain brings into reach, too."""
    box = Box(jnp.asarray(h), shape)
    return build(plan(kind, np.asarray(x), box, 1.75, 0.1, field.system.excluded), x, box, field.system.excluded)


@pytest.mark.parametrize(("shape", "kind"), [("orthorhombic", "all_pairs"), ("triclinic", "cell_list")])
def test_it_is_the_derivative_of_the_energy_with_respect_to_a_strain(shape, kind, double):
    field, values = field_and_values(shape, "reverse")
    x, h = values["system.positions"], BOXES[shape]
    near = listed(field, x, h, shape, kind)

    @jax.jit
    @jax.vmap
    def energies(strain):
        # Sheared, so triclinic in any case.
        return field.energies(values, x + x @ strain, Box(h + h @ strain, "triclinic"), near)

    @jax.jit
    def virials():
        box = Box(jnp.asarray(h), shape)
        parts = {name: field.only(name).virial(values, x, box, near) for name in field.potentials}
        return parts, field.virial(values, x, box, near), field.with_mode("forward").virial(values, x, box, near)

    step = 1e-4
    unit = np.eye(9).reshape(9, 3, 3)
    at = {n: energies(n * step * unit) for n in (-2, -1, 1, 2)}
    parts, whole, forward = virials()
    assert set(parts) == {"lj", "lj2", "bond", "angle", "force", "energy", "mine"}
    for name, found in parts.items():
        e = {n: np.asarray(values_[name]) for n, values_ in at.items()}
        expected = -(8 * (e[1] - e[-1]) - (e[2] - e[-2])) / (12 * step)
        size = np.abs(expected).max()
        assert size > 1e-2, name
        np.testing.assert_allclose(found, expected.reshape(3, 3), atol=2e-8 * size, err_msg=name)
        np.testing.assert_allclose(found, found.T, atol=1e-11 * size, err_msg=name)
    np.testing.assert_allclose(whole, sum(parts.values()), rtol=1e-11)
    np.testing.assert_allclose(forward, whole, rtol=1e-11)


def test_derivatives_of_the_virial(double):
    shape, kind = "triclinic", "cell_list"
    weights = np.random.default_rng(0).normal(size=(3, 3))
    made = {mode: field_and_values(shape, mode) for mode in ("reverse", "forward")}
    some = ("lj", "angle", "force", "mine")
    fields = {
        mode: ForceField.create(field.system, {name: field.potentials[name] for name in some}, mode)
        for mode, (field, _) in made.items()
    }
    names = ("system.positions", *(f"potentials.{name}." for name in some))
    values = {path: v for path, v in made["reverse"][1].items() if path.startswith(names)}
    near = listed(fields["reverse"], values["system.positions"], BOXES[shape], shape, kind)
    held = values | {"h": jnp.asarray(BOXES[shape])}

    def along(mode):
        def f(at):
            return jnp.sum(weights * fields[mode].virial(at, at["system.positions"], Box(at["h"], shape), near))

        return f

    rng = np.random.default_rng(1)
    tangents = {path: rng.normal(size=np.shape(v)) for path, v in held.items()}
    tangents["h"] *= np.tri(3)
    # One row a path.
    rows = {p: jnp.stack([t if q == p else 0 * t for q in held]) for p, t in tangents.items()}
    gradient = jax.jit(jax.grad(along("reverse")))(held)
    forward = jax.jit(jax.vmap(lambda t: jax.jvp(along("forward"), (held,), (t,))[1]))(rows)
    many = jax.jit(jax.vmap(along("reverse")))
    step = 1e-5
    at = {n: many({p: v + n * step * rows[p] for p, v in held.items()}) for n in (-2, -1, 1, 2)}
    fd = (8 * (at[1] - at[-1]) - (at[2] - at[-2])) / (12 * step)
    assert np.all(np.abs(fd) > 1e-4)
    for k, path in enumerate(held):
        reverse = float(jnp.sum(gradient[path] * tangents[path]))
        assert reverse == pytest.approx(float(fd[k]), rel=1e-6, abs=1e-7), path
        assert float(forward[k]) == pytest.approx(reverse, rel=1e-9, abs=1e-11), path


def test_single_precision():
    field, values = field_and_values("triclinic", "reverse")
    x, h = values["system.positions"], BOXES["triclinic"]
    near = listed(field, x, h, "triclinic", "all_pairs")
    found = jax.eval_shape(lambda x: field.virial(values, x, Box(jnp.asarray(h, x.dtype), "triclinic"), near), x)
    assert found.dtype == np.float32
    assert found.shape == (3, 3)


def test_ase_has_the_same_stress(double):
    ase = pytest.importorskip("ase")
    from ase.calculators.lj import LennardJones

    h = BOXES["triclinic"]
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    x = (grid + np.random.default_rng(2).uniform(-0.12, 0.12, grid.shape)) / 3 @ h
    built = experiment(
        {
            "box": h.tolist(),
            "atoms": [{"type": "A", "count": 27, "mass": 1.0}],
            "positions": {"kind": "inline", "values": x.tolist()},
        },
        {"lj": {"kind": "lennard_jones", "sigma": 1.1, "epsilon": 0.7, "cutoff": 1.7}},
    )
    field, values = built.systems[0].problem.dynamics.forcefield, built.systems[0].values
    virial = field.virial(values, values["system.positions"], Box(jnp.asarray(h), "triclinic"),
                          listed(field, values["system.positions"], h, "triclinic", "all_pairs"))  # fmt: skip
    atoms = ase.Atoms("Ar27", positions=x, cell=h, pbc=True, calculator=LennardJones(sigma=1.1, epsilon=0.7, rc=1.7))
    np.testing.assert_allclose(-virial / np.linalg.det(h), atoms.get_stress(voigt=False), rtol=1e-9, atol=1e-12)
