"""What a study found: the comparison of its arms, its pictures and one page with all of it."""

from federated.report.arm_curves import arm_curves
from federated.report.arm_outcomes import arm_outcomes
from federated.report.comparison import ArmSummary, Spread, compare, table, text_table
from federated.report.costs import Costs, cost_figures, costs
from federated.report.learning_curves import learning_curves
from federated.report.on_network import on_network
from federated.report.page import page_html, write_page
from federated.report.partition_picture import partition_picture
from federated.report.results import RunResult
from federated.report.style import png

__all__ = [
    "ArmSummary",
    "Costs",
    "RunResult",
    "Spread",
    "arm_curves",
    "arm_outcomes",
    "compare",
    "cost_figures",
    "costs",
    "learning_curves",
    "on_network",
    "page_html",
    "partition_picture",
    "png",
    "table",
    "text_table",
    "write_page",
]
