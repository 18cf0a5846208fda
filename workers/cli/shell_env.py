"""``var/env``: what a shell sources to use plain ``rq`` commands against the running demo."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

_HEADER = """\
# Written by `llm-jobs demo`; true while it runs. In a shell:
#   . {path}
#   rq info
#   rq requeue --all --queue llm_intent
"""


def write_shell_env(path: Path, variables: Mapping[str, str]) -> None:
    """Write ``export`` lines; readable by its owner alone, as it may hold passwords."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    # The programs of this environment first: rq and llm-jobs.
    programs = shlex.quote(str(Path(sys.executable).parent))
    lines.append(f'export PATH={programs}:"$PATH"')
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(_HEADER.format(path=path) + "\n".join(lines) + "\n", encoding="utf-8")
