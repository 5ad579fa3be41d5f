"""Structure files: extxyz, xyz, PDB, mmCIF, GRO and frames of diffmd's own trajectory, read and written.

In md units lengths become nm and velocities nm/ps, from the file format's own (Angstrom; Angstrom/fs for velocity
columns of extxyz, as QUIP and GPUMD write them; nm and nm/ps in GRO), and elements bring their masses. In reduced units
numbers are taken as they stand, and elements bring none.
A box comes out in the form of `diffmd.box`: lower triangular and reduced, atoms turned along with it.
"""

from diffmd.io.structures.base import Structure, TypesFrom
from diffmd.io.structures.reading import read_structure
from diffmd.io.structures.writing import StructureFormat, write_structure

__all__ = ["Structure", "StructureFormat", "TypesFrom", "read_structure", "write_structure"]
