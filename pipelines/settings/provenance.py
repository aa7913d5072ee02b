"""What a run was made with: versions, and the commit of the code in the current folder."""

import platform
import subprocess
from importlib.metadata import version

PACKAGES = ("torch", "torchvision", "optuna", "ray", "mlflow")


def provenance() -> dict[str, str]:
    """Versions by package, and the git commit if there is one."""
    found = {f"version.{name}": version(name) for name in PACKAGES}
    found["version.python"] = platform.python_version()
    try:
        git = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return found
    if git.returncode == 0:
        found["mlflow.source.git.commit"] = git.stdout.strip()
    return found
