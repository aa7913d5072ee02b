"""What searches trade by default."""

from search.objectives import Objectives
from trainers.costs import COSTS

PARAMS, FPS = COSTS["params"].quantity, COSTS["fps"].quantity
OBJECTIVES = Objectives(metric="val_accuracy", costs=(PARAMS, FPS))
