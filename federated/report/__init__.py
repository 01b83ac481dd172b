"""What a study found: the comparison of its arms, its pictures and one page with all of it."""

from federated.report.arm_curves import arm_curves
from federated.report.arm_outcomes import arm_outcomes
from federated.report.comparison import ArmSummary, Spread, compare, table, text_table
from federated.report.costs import Costs, costs
from federated.report.divergence_picture import divergence_picture
from federated.report.federation_pictures import federation_pictures
from federated.report.figures import as_files, drawn
from federated.report.fingerprint_table import fingerprint_table
from federated.report.learning_curves import learning_curves
from federated.report.on_network import on_network
from federated.report.page import page_html, write_page
from federated.report.partition_picture import partition_picture
from federated.report.preview_page import PreviewedPartition, preview_html
from federated.report.report import Report
from federated.report.response_curve import response_curve
from federated.report.results import RunResult, same_partition
from federated.report.style import png

__all__ = [
    "ArmSummary",
    "Costs",
    "PreviewedPartition",
    "Report",
    "RunResult",
    "Spread",
    "arm_curves",
    "arm_outcomes",
    "as_files",
    "compare",
    "costs",
    "divergence_picture",
    "drawn",
    "federation_pictures",
    "fingerprint_table",
    "learning_curves",
    "on_network",
    "page_html",
    "partition_picture",
    "png",
    "preview_html",
    "response_curve",
    "same_partition",
    "table",
    "text_table",
    "write_page",
]
