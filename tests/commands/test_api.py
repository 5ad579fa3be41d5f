"""The Python API: the commands' answers, nothing printed, nothing of JAX left changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
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
