"""The forecast of a study before it runs: time, memory and bytes, and warnings about likely mistakes."""

from federated.forecast.forecast import LONG_SECONDS, SECONDS_IN_ALL, forecast_study
from federated.forecast.measure_warnings import of_delta
from federated.forecast.summary import ArmForecast, Forecast, forecast_of_json
from federated.forecast.traffic.amounts import Amount
from federated.forecast.warnings import cautions, of_faults, promise_sentences, with_arms

__all__ = [
    "LONG_SECONDS",
    "SECONDS_IN_ALL",
    "Amount",
    "ArmForecast",
    "Forecast",
    "cautions",
    "forecast_of_json",
    "forecast_study",
    "of_delta",
    "of_faults",
    "promise_sentences",
    "with_arms",
]
