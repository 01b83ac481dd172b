"""Before a study runs: what it will take, and what cannot work or is likely a mistake."""

from federated.forecast.cautions import cautions, of_faults, with_arms
from federated.forecast.forecast import LONG_SECONDS, forecast_study
from federated.forecast.foretold import ArmForecast, Forecast, forecast_of_json
from federated.forecast.payloads import Amount

__all__ = [
    "LONG_SECONDS",
    "Amount",
    "ArmForecast",
    "Forecast",
    "cautions",
    "forecast_of_json",
    "forecast_study",
    "of_faults",
    "with_arms",
]
