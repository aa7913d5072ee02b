"""The options of `search sync`; the docstring of the class is its help."""

from dataclasses import dataclass

from pipelines.settings.options.shared import Stored, Study, TrackingUri


@dataclass(frozen=True, kw_only=True)
class SyncOptions(Stored):
    """Bring MLflow up to what a search knows: each trial once, from the study alone.

    For where MLflow was away, or lost what it had. The commands that train do so by themselves.
    """

    study: Study = None
    tracking_uri: TrackingUri = None
