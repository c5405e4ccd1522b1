"""Offer load to a fleet, and measure how long its tasks wait."""
