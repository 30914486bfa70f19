"""From what the models did to the tables and the summary of a run."""

from audit.analysis.arms import AnalysedArm, ArmOutputs
from audit.analysis.empirical import CanaryOutputs, Coins
from audit.analysis.removal import removal_summary
from audit.analysis.run import analyse

__all__ = ["AnalysedArm", "ArmOutputs", "CanaryOutputs", "Coins", "analyse", "removal_summary"]
