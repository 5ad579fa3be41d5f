"""What a command needs only at times is imported when it is needed: imports are most of a short command's time."""

from __future__ import annotations

import subprocess
import sys

AT_TIMES = ("scipy", "optax", "ase", "gemmi", "matplotlib", "PIL", "rich.progress")


def test_commands_load_without_what_they_seldom_need():
    commands = ("simulate", "gradient", "train", "scan")
    script = (
        "import sys\n"
        + "".join(f"import diffmd.commands.{command}\n" for command in commands)
        + f"print([name for name in {AT_TIMES!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
