"""Attacks: what a trained model and single updates tell of the examples behind them."""
