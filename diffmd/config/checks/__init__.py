"""Rules across fields, checked before anything is compiled.

Limits of a single field stand on the field; what a potential or observable refuses is said by its own `build`, which
is called here with the atoms that the config lists.
"""

from diffmd.config.checks.check import problems, require_loss, warnings
from diffmd.config.checks.geometry import check_box, check_reach

__all__ = ["check_box", "check_reach", "problems", "require_loss", "warnings"]
