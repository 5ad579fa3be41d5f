"""Gradient methods: importing this module registers every one."""

from diffmd.adjoints.auto import AutoSpec
from diffmd.adjoints.finite_difference import FiniteDifferenceSpec
from diffmd.adjoints.forward import ForwardSpec
from diffmd.adjoints.implicit import ImplicitSpec
from diffmd.adjoints.method import Measured, MethodSpec, Resources, Setting
from diffmd.adjoints.reverse import ReverseSpec
from diffmd.adjoints.reversible import ReversibleSpec
from diffmd.adjoints.reweight import ReweightSpec

__all__ = [
    "AutoSpec",
    "FiniteDifferenceSpec",
    "ForwardSpec",
    "ImplicitSpec",
    "Measured",
    "MethodSpec",
    "Resources",
    "ReverseSpec",
    "ReversibleSpec",
    "ReweightSpec",
    "Setting",
]
