"""diffmd: differentiable molecular dynamics from YAML configs."""

__version__ = "0.1.0"
