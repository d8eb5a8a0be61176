"""The paper's Table 1 in one command: a plan of steps as data, each done once (see :func:`reproduce`)."""

from fmbseg.reproduce.plan import ABLATIONS, Plan, ablation, table_1
from fmbseg.reproduce.run import Waiting, reproduce

__all__ = ["ABLATIONS", "Plan", "Waiting", "ablation", "reproduce", "table_1"]
