"""The Python API: the commands' answers, nothing printed, nothing of JAX left changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

import diffmd
from diffmd.errors import ConfigError

CONFIG = Path(__file__).parents[2] / "configs" / "bond_angle.yaml"
PATH = "potentials.angle.theta0"


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    """XLA prints a line for each program that it finds in the cache."""
    folder = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    compilation_cache.reset_cache()
    yield
    jax.config.update("jax_compilation_cache_dir", folder)


def test_load_gives_the_checked_config():
    assert diffmd.load(CONFIG, set=["dynamics.steps=5"]).config.dynamics.steps == 5
    with pytest.raises(ConfigError, match=r"dynamics\.step\b"):
        diffmd.load(CONFIG, set=["dynamics.step=5"])


@pytest.mark.parametrize("value", [0.04, np.float32(0.04), jnp.asarray(0.04)], ids=["float", "numpy", "jax"])
def test_values_are_set_by_path(value: object):
    assert diffmd.load(CONFIG, set={"dynamics.integrator.dt": value}).config.dynamics.integrator.dt == pytest.approx(
        0.04
    )


def test_values_that_are_no_number_are_set_too(tmp_path: Path):
    (tmp_path / "two.xyz").write_text("2\n\nA 0 0 0\nA 1 0 0\n", encoding="utf-8")
    values = {"system.positions": {"kind": "file", "path": tmp_path / "two.xyz"}, "system.box": [3, 3, 4]}
    system = diffmd.load(CONFIG, set=values).config.system
    assert system.box == [3, 3, 4]
    assert Path(system.positions.path) == tmp_path / "two.xyz"


def test_a_loop_over_values_reads_each(tmp_path: Path):
    losses = [
        diffmd.gradient(CONFIG, set={"dynamics.steps": 5, PATH: angle}, output=tmp_path / str(angle))["loss"]
        for angle in (1.5, 2.0)
    ]
    assert losses[0] != losses[1]


def test_a_gradient_is_that_of_the_json(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    cache = jax.config.jax_compilation_cache_dir
    answer = diffmd.gradient(CONFIG, set=["dynamics.steps=5"], output=tmp_path / "run")
    assert set(answer) >= {"loss", "terms", "parameters", "gradients", "health"}
    assert isinstance(answer["gradients"][PATH], float)
    assert (tmp_path / "run" / "gradients.h5").exists()
    assert capfd.readouterr() == ("", "")
    assert not jax.config.jax_enable_x64
    assert jnp.ones(()).dtype == jnp.float32
    assert jax.config.jax_compilation_cache_dir == cache
    again = diffmd.gradient(str(CONFIG), set=["dynamics.steps=5"], output=tmp_path / "run", resume=True)
    assert again == answer
