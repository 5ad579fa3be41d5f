"""Gradient methods: importing this module registers every one."""

from diffmd.adjoints.auto import AutoSpec
from diffmd.adjoints.finite_difference import FiniteDifferenceSpec
from diffmd.adjoints.forward import ForwardSpec
from diffmd.adjoints.implicit.implicit import ImplicitSpec
from diffmd.adjoints.method import Measured, MethodSpec, Resources, Setting
from diffmd.adjoints.reverse.reverse import ReverseSpec
from diffmd.adjoints.reversible.reversible import ReversibleSpec
from diffmd.adjoints.reweight.reweight import ReweightSpec

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
