"""Corrections of the clients' drift: what they add to their steps, or how the server weighs what they did."""
