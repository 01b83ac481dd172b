"""The report of a study: the comparison of its arms, its figures, and one page with all of it."""

from federated.report.costs.bytes_and_seconds import Costs, costs
from federated.report.costs.other_network import on_network
from federated.report.figures.arms.figures import as_files, drawn
from federated.report.figures.arms.outcomes import arm_outcomes
from federated.report.figures.arms.response_curve import response_curve
from federated.report.figures.clients.divergence_picture import divergence_picture
from federated.report.figures.clients.federation_pictures import federation_pictures
from federated.report.figures.clients.fingerprint_table import fingerprint_table
from federated.report.figures.clients.learning_curves import learning_curves
from federated.report.figures.clients.partition_picture import partition_picture
from federated.report.figures.style import png
from federated.report.findings.arms import ArmSummary, compare, table, text_table
from federated.report.findings.findings import Report
from federated.report.findings.results import RunResult, same_partition
from federated.report.page.page import page_html, write_page
from federated.report.page.preview_page import PreviewedPartition, preview_html
from federated.report.text.numbers_as_text import Spread

__all__ = [
    "ArmSummary",
    "Costs",
    "PreviewedPartition",
    "Report",
    "RunResult",
    "Spread",
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
