"""Ray: a cluster, or the Ray of this machine, and the engine on it. What Ray reads when it is imported is set here."""

import os
from pathlib import Path

# Quiet, no phoning home, our own signals, no files of its own.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "1000000")
if (Path.home() / ".ray" / "auth_token").exists():  # clusters ask for it by default; drivers do not offer it
    os.environ.setdefault("RAY_AUTH_MODE", "token")
