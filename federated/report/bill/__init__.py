"""The bill of each arm and site: logged quantities, what they are priced by, and what they come to."""

from federated.report.bill.bill import Bill, bill_of_all, bills, study_metrics
from federated.report.bill.foreseen import bill_in_all, foreseen_bills, stated_prices
from federated.report.bill.sites import site_bills, sites_bill_numbers, sites_bill_table
from federated.report.bill.tables import bill_numbers, bill_table
from federated.report.bill.tuning import foreseen_tuning_bills, tuning_bills, tuning_in_all, tuning_metrics

__all__ = [
    "Bill",
    "bill_in_all",
    "bill_numbers",
    "bill_of_all",
    "bill_table",
    "bills",
    "foreseen_bills",
    "foreseen_tuning_bills",
    "site_bills",
    "sites_bill_numbers",
    "sites_bill_table",
    "stated_prices",
    "study_metrics",
    "tuning_bills",
    "tuning_in_all",
    "tuning_metrics",
]
